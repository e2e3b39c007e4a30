/**
 * The estimate of peak memory beside what the WebGPU backend really asks for, on a device that does nothing:
 *   node --import tsx bench/support/dry-memory.ts '[{"shape":"125m","preset":"paper","timeSteps":4,"context":1024,"recompute":"blocks","batches":[1,8],"set":[]}]'
 * Prints a line of JSON for every batch. A process of its own, because it has its own WebGPU backend.
 */
import { teacherConfigSchema } from '../../src/core/config/schema.js';
import { pooledShares } from '../../src/core/distill/memory-pool.js';
import { backendMemory, stepSizes } from '../../src/core/distill/step-sizes.js';
import { pooledTeacherMoments, teacherSizes } from '../../src/core/distill/teacher-memory.js';
import { startDryGpu } from './dry-gpu.js';
import type { EngineShape, ShapeName } from './engine-shapes.js';
import { ENGINE_SHAPES } from './engine-shapes.js';
import { watchMemory } from './gpu-memory.js';
import type { Preset } from './synthetic-step.js';
import { openSyntheticStep } from './synthetic-step.js';
import { openTeacherStep } from './teacher-step.js';

/** The training of a teacher. */
interface TeacherCase {
  readonly config: unknown;
  readonly vocabSize: number;
}

/** A student at several batch sizes. */
interface StudentCase {
  readonly shape: ShapeName | EngineShape;
  readonly preset: Preset;
  readonly timeSteps: number;
  readonly context: number;
  readonly recompute: string;
  readonly batches: readonly number[];
  readonly set: readonly string[];
}

await startDryGpu();
const memory = watchMemory();

interface Peak { readonly used: number; readonly allocated: number }

/** Most bytes of buffers while `work` runs, those in use and all. */
async function peakOf(work: () => Promise<unknown>): Promise<Peak> {
  memory.restart();
  await work();
  return { used: memory.peakUsedBytes(), allocated: memory.peakAllocatedBytes() };
}

const bytesOf = (shares: Readonly<Record<string, number>>): number => 4 * Object.values(shares).reduce((sum, numbers) => sum + numbers, 0);

async function measure({ step, validate }: { readonly step: () => Promise<unknown>; readonly validate: () => Promise<unknown> }): Promise<{ step: Peak; validation: Peak }> {
  await step(); // uploads what was made in ordinary memory
  return { step: await peakOf(step), validation: await peakOf(validate) };
}

const say = (line: object): void => { process.stdout.write(`${JSON.stringify(line)}\n`); };

async function measureStudent({ shape, preset, timeSteps, context, recompute, batches, set }: StudentCase): Promise<void> {
  const sizes = typeof shape === 'string' ? ENGINE_SHAPES[shape] : shape;
  const synthetic = await openSyntheticStep(sizes, { preset, timeSteps, recompute, precision: 'float32', context, overrides: set, weights: 'zero' });
  for (const batch of batches) {
    const counted = await measure({ step: () => synthetic.step(batch), validate: synthetic.validate });
    const pooled = pooledShares(stepSizes({ ...synthetic.config, train: { ...synthetic.config.train, batch } }, synthetic.teacher, backendMemory()));
    const estimate = { step: bytesOf(pooled.step), validation: bytesOf(pooled.validation) };
    say({ shape, preset, timeSteps, context, recompute, batch, set, ...counted, estimate });
  }
  synthetic.dispose();
}

async function measureTeacher({ config: given, vocabSize }: TeacherCase): Promise<void> {
  const config = teacherConfigSchema.parse(given);
  const training = openTeacherStep(config, vocabSize);
  const counted = await measure(training);
  const [step, validation] = pooledTeacherMoments(teacherSizes(config, training.model)).map(({ shares }) => bytesOf(shares));
  say({ ...counted, recompute: config.train.recompute, batch: config.train.batch, estimate: { step, validation } });
  training.dispose();
}

for (const each of JSON.parse(process.argv[2] ?? '[]') as (StudentCase | TeacherCase)[]) await ('config' in each ? measureTeacher(each) : measureStudent(each));
process.exit(0);
