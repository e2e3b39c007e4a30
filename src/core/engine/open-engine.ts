import { loadavg } from 'node:os';

import { readStudentConfig } from '../student/stored.js';
import type { Crew } from './crew.js';
import { checkThreads, soloCrew, startCrew, threadLimit } from './crew.js';
import type { EngineModel } from './engine.js';
import { createEngine, createMachine } from './engine.js';
import { compileEngine, instantiateEngine, instantiateThreads } from './instantiate.js';
import type { WeightPrecision } from '../types.js';
import { engineShape } from './layout.js';
import type { EngineMemory } from './memory.js';
import { createMemory } from './memory.js';
import { openPacked } from './pack-cache.js';
import type { Pace } from './pace.js';
import { createPace } from './pace.js';
import type { Machine } from './step.js';
import type { PackedWeights } from './weights.js';

export interface OpenEngineOptions {
  /** Student folder. */ readonly folder: string;
  readonly precision: WeightPrecision;
  /** Null: what suits the model's size and this machine. */ readonly threads: number | null;
  /** Hears why weights were packed anew or could not be kept. */ readonly notice: (message: string) => void;
  /** Who runs a job; left out: whoever is faster. */ readonly pace?: Pace;
}

/** Below this many weights in the blocks a token takes less time than threads need to meet. */
const WEIGHTS_WORTH_THREADS = 4e6;
/** More threads than this share too few columns. */
const DEFAULT_MAX_THREADS = 4;

/**
 * Opens a student on the engine: packed weights, buffers, threads. The caller disposes it.
 * @throws UsageError on more threads than cores; BackendError when the kernels are missing or the memory is too small; and
 *   whatever a damaged student folder gives cause for (FormatError, ShapeError, NumericError).
 */
export async function openEngine({ folder, precision, threads: wanted, notice, ...options }: OpenEngineOptions): Promise<EngineModel> {
  if (wanted !== null) checkThreads(wanted);
  const threads = wanted ?? await defaultThreads(folder);
  const memory = createMemory(threads > 1);
  const opened = await openPacked(folder, precision, (bytes) => memory.bytes(memory.allocate(bytes), bytes));
  if (opened.notice !== null) notice(opened.notice);
  const pace = options.pace ?? createPace(() => performance.now(), isBusy(threads) ? 'alone' : 'all');
  if (threads === 1) {
    const machine = createMachine(opened.weights, memory, { kernels: await instantiateEngine(memory.memory), threads });
    return createEngine({ machine, memory, crew: soloCrew(machine), pace });
  }
  return createEngine({ ...await startThreads(opened.weights, memory, threads), memory, pace });
}

/** Whether other programs use cores that the threads would need, by the load of the last minute (0 where the system tells none). */
function isBusy(threads: number): boolean {
  const [load = 0] = loadavg();
  return load + threads > threadLimit() + 0.5;
}

async function startThreads(weights: PackedWeights, memory: EngineMemory, threads: number): Promise<{ machine: Machine; crew: Crew }> {
  const module = await compileEngine(true);
  const { kernels, barrier } = await instantiateThreads(module, memory.memory);
  const machine = createMachine(weights, memory, { kernels, threads });
  return { machine, crew: await startCrew({ machine, memory, module, barrier, threads }) };
}

async function defaultThreads(folder: string): Promise<number> {
  const { layers, matrices } = engineShape(await readStudentConfig(folder));
  const weights = layers * Object.values(matrices).reduce((sum, { inputs, outputs }) => sum + inputs * outputs, 0);
  return weights < WEIGHTS_WORTH_THREADS ? 1 : Math.min(threadLimit(), DEFAULT_MAX_THREADS);
}
