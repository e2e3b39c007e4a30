/**
 * The estimate of peak memory beside what the WebGPU backend really asks for, on a device that does nothing:
 *   node --import tsx bench/support/dry-memory.ts '[{"shape":"125m","preset":"paper","timeSteps":4,"context":1024,"recompute":"blocks","batches":[1,8],"set":[]}]'
 * Prints a line of JSON for every batch. A process of its own, because it has its own WebGPU backend.
 */
import { pooledShares } from '../../src/core/distill/memory-pool.js';
import { backendMemory, stepSizes } from '../../src/core/distill/step-sizes.js';
import { startDryGpu } from './dry-gpu.js';
import type { EngineShape, ShapeName } from './engine-shapes.js';
import { ENGINE_SHAPES } from './engine-shapes.js';
import { watchMemory } from './gpu-memory.js';
import type { Preset } from './synthetic-step.js';
import { openSyntheticStep } from './synthetic-step.js';

/** A student at several batch sizes. */
interface DryCase {
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

/** Most bytes of buffers while `work` runs, those in use and all. */
async function peakOf(work: () => Promise<unknown>): Promise<{ used: number; allocated: number }> {
  memory.restart();
  await work();
  return { used: memory.peakUsedBytes(), allocated: memory.peakAllocatedBytes() };
}

const bytesOf = (shares: Readonly<Record<string, number>>): number => 4 * Object.values(shares).reduce((sum, numbers) => sum + numbers, 0);

for (const { shape, preset, timeSteps, context, recompute, batches, set } of JSON.parse(process.argv[2] ?? '[]') as DryCase[]) {
  const sizes = typeof shape === 'string' ? ENGINE_SHAPES[shape] : shape;
  const synthetic = await openSyntheticStep(sizes, { preset, timeSteps, recompute, precision: 'float32', context, overrides: set, weights: 'zero' });
  for (const batch of batches) {
    await synthetic.step(batch); // uploads what was made in ordinary memory
    const step = await peakOf(() => synthetic.step(batch));
    const validation = await peakOf(() => synthetic.validate());
    const pooled = pooledShares(stepSizes({ ...synthetic.config, train: { ...synthetic.config.train, batch } }, synthetic.teacher, backendMemory()));
    const estimate = { step: bytesOf(pooled.step), validation: bytesOf(pooled.validation) };
    process.stdout.write(`${JSON.stringify({ shape, preset, timeSteps, context, recompute, batch, set, step, validation, estimate })}\n`);
  }
  synthetic.dispose();
}
process.exit(0);
