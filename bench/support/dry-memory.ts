/**
 * The estimate of peak memory beside what the WebGPU backend really asks for, on a device that does nothing:
 *   node --import tsx bench/support/dry-memory.ts '[{"shape":"125m","preset":"paper","timeSteps":4,"context":1024,"recompute":"blocks","batches":[1,8],"set":[]}]'
 * Prints a line of JSON for every batch. A process of its own, because it has its own WebGPU backend.
 */
import * as tf from '@tensorflow/tfjs-core';

import { distillConfigSchema, teacherConfigSchema } from '../../src/core/config/schema.js';
import { createRandom } from '../../src/core/corpus/random.js';
import { pooledShares } from '../../src/core/distill/memory-pool.js';
import type { StartSizes } from '../../src/core/distill/start-memory.js';
import { estimateStart } from '../../src/core/distill/start-memory.js';
import { backendMemory, stepSizes } from '../../src/core/distill/step-sizes.js';
import { studentConfigOf } from '../../src/core/distill/student-config.js';
import { pooledTeacherMoments, teacherSizes } from '../../src/core/distill/teacher-memory.js';
import { startStudent } from '../../src/core/student/start.js';
import { initTeacher } from '../../src/core/teacher/init.js';
import type { Teacher } from '../../src/core/teacher/parameters.js';
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

/** The start of a student. */
interface StartCase {
  readonly start: EngineShape;
  readonly context: number;
  readonly sequences: number;
  readonly student: Readonly<Record<string, unknown>>;
  readonly atOnce: number;
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

async function measureStart({ start: { vocabSize, hiddenSize, layers, heads, feedForwardSize }, context, sequences, student, atOnce }: StartCase): Promise<void> {
  const config = distillConfigSchema.parse({ run: 'r', teacher: 't', student, train: { context }, calibration: { sequences } });
  const random = createRandom(1);
  const teacher = initTeacher({ vocabSize, hiddenSize, layers, heads, feedForwardSize, contextLength: context, bosId: null, eosId: null, padId: null }, random);
  const ids = tf.zeros<tf.Rank.R2>([sequences, context], 'int32');
  const { init, embeddings } = config.student;
  const { ridge, entryRate, unitRate, attentionDensity } = config.calibration;
  const run = async (): Promise<void> => {
    const started = await startStudent({ config: studentConfigOf(config, teacher.config), init, embeddings, teacher, ids, calibration: { ridge, entryRate, unitRate, attentionDensity }, random, atOnce });
    tf.dispose([...started.values()]);
  };
  await teacherOnDevice(teacher);
  const counted = await peakOf(run);
  const sizes = stepSizes(config, teacher.config, backendMemory());
  const { peakBytes: estimate, moment } = estimateStart(sizes, { ...(sizes.start as StartSizes), atOnce });
  say({ start: { hiddenSize, layers }, context, sequences, student, atOnce, ...counted, estimate, moment });
  tf.dispose([ids, ...teacher.parameters.values()]);
}

/** Uploads what was made in ordinary memory. */
async function teacherOnDevice({ parameters }: Teacher): Promise<void> {
  for (const tensor of parameters.values()) {
    const read = tf.neg(tensor);
    await read.data();
    read.dispose();
  }
}

for (const each of JSON.parse(process.argv[2] ?? '[]') as (StudentCase | TeacherCase | StartCase)[]) await ('config' in each ? measureTeacher(each) : 'start' in each ? measureStart(each) : measureStudent(each));
process.exit(0);
