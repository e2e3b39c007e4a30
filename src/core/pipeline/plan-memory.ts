import type { BackendChoice } from '../backend/select.js';
import { isOutOfMemory, memoryLimits } from '../backend/memory-limits.js';
import type { DistillConfig } from '../config/schema.js';
import { checkMemory, describeEstimate, outOfMemoryError } from '../distill/memory-check.js';
import type { StepSizes } from '../distill/memory-estimate.js';
import { backendMemory, stepSizes } from '../distill/step-sizes.js';
import type { OptConfig } from '../teacher/config.js';
import type { Reporter } from '../types.js';

/** A run that fits as far as can be told beforehand. */
export interface MemoryPlan {
  /** The configuration, `train.recompute` decided. */ readonly config: DistillConfig;
  readonly sizes: StepSizes;
}

/**
 * Decides whether blocks are recomputed and reports the estimate; nothing has been loaded to the device yet.
 * @throws BackendError when the run cannot fit.
 */
export function planMemory(config: DistillConfig, teacher: OptConfig, { backend, reporter }: { readonly backend: BackendChoice; readonly reporter: Reporter }): MemoryPlan {
  const { recompute: mode, memoryLimit } = config.train;
  const found = memoryLimits(backend.name);
  const given = memoryLimit === null ? Infinity : memoryLimit * 1e9;
  const limits = given < (found.totalBytes ?? Infinity) ? { ...found, totalBytes: given, source: 'train.memoryLimit' } : found;
  const sizes = stepSizes(config, teacher, backendMemory());
  const { recompute, estimate } = checkMemory(sizes, mode, limits);
  reporter.notice(`Memory: ${describeEstimate(estimate)}${recompute === 'blocks' ? '; blocks are computed again in the backward pass' : ''}`);
  return { config: { ...config, train: { ...config.train, recompute } }, sizes: { ...sizes, recompute } };
}

/** Runs `work`; memory that runs out all the same is said with the estimate and what to change. @throws BackendError then. */
export async function explainMemory<X>(sizes: StepSizes, work: () => Promise<X>): Promise<X> {
  try {
    return await work();
  } catch (error) {
    throw isOutOfMemory(error) ? outOfMemoryError(error, sizes) : error;
  }
}
