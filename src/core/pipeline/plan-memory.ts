import type { BackendChoice } from '../backend/select.js';
import { isOutOfMemory, memoryLimits } from '../backend/memory-limits.js';
import type { DistillConfig, TeacherConfig, TrainSettings } from '../config/schema.js';
import type { RunSizes } from '../distill/memory-check.js';
import { checkMemory, describeEstimate, outOfMemoryError } from '../distill/memory-check.js';
import { backendMemory, stepSizes } from '../distill/step-sizes.js';
import { teacherSizes } from '../distill/teacher-memory.js';
import type { OptConfig } from '../teacher/config.js';
import { teacherConfigOf } from '../teacher/init.js';
import type { Reporter } from '../types.js';

/** A run that fits as far as can be told beforehand. */
export interface MemoryPlan<Config> {
  /** The configuration, `train.recompute` decided. */ readonly config: Config;
  readonly sizes: RunSizes;
}

/** Where a run is going to compute. */
export interface PlanContext {
  readonly backend: BackendChoice;
  readonly reporter: Reporter;
  /** False for a run that goes on from a checkpoint: its student has begun. */ readonly hasStart?: boolean;
}

/**
 * Decides whether blocks are recomputed in a distillation and reports the estimate; nothing has been loaded to the device yet.
 * @throws BackendError when the run cannot fit.
 */
export function planMemory(config: DistillConfig, teacher: OptConfig, context: PlanContext): MemoryPlan<DistillConfig> {
  const sizes = stepSizes(config, teacher, backendMemory());
  return plan(config, context.hasStart === false ? { ...sizes, start: null } : sizes, context);
}

/** The same for the training of a dense teacher. @param vocabSize at most. @throws BackendError when the run cannot fit. */
export function planTeacherMemory(config: TeacherConfig, vocabSize: number, context: PlanContext): MemoryPlan<TeacherConfig> {
  return plan(config, teacherSizes(config, teacherConfigOf({ ...config.model, vocabSize, bosId: null, eosId: null, padId: null })), context);
}

function plan<Config extends { readonly train: TrainSettings }>(config: Config, sizes: RunSizes, { backend, reporter }: PlanContext): MemoryPlan<Config> {
  const { recompute: mode, memoryLimit } = config.train;
  const found = memoryLimits(backend.name);
  const given = memoryLimit === null ? Infinity : memoryLimit * 1e9;
  const limits = given < (found.totalBytes ?? Infinity) ? { ...found, totalBytes: given, source: 'train.memoryLimit' } : found;
  const { recompute, estimate } = checkMemory(sizes, mode, limits);
  reporter.notice(`Memory: ${describeEstimate(estimate)}${recompute === 'blocks' ? '; blocks are computed again in the backward pass' : ''}`);
  return { config: { ...config, train: { ...config.train, recompute } }, sizes: { ...sizes, recompute } };
}

/** Runs `work`; memory that runs out all the same is said with the estimate and what to change. @throws BackendError then. */
export async function explainMemory<X>(sizes: RunSizes, work: () => Promise<X>): Promise<X> {
  try {
    return await work();
  } catch (error) {
    throw isOutOfMemory(error) ? outOfMemoryError(error, sizes) : error;
  }
}
