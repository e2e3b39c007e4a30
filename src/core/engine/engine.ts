import { setImmediate as nextTurn } from 'node:timers/promises';

import type { DecodingSession, LanguageModel, SequenceLogits, WorkDone } from '../types.js';
import { createBuffers } from './buffers.js';
import { counterCount } from './counters.js';
import type { EngineKernels } from './kernels.js';
import type { EngineMemory } from './memory.js';
import type { EngineParts, Runner } from './runner.js';
import { createRunner } from './runner.js';
import type { SequenceState } from './state.js';
import { clearState, createState, forkState } from './state.js';
import type { Machine } from './step.js';
import type { PackedWeights } from './weights.js';

/** A student on the engine. */
export interface EngineModel extends LanguageModel {
  readonly kind: 'student';
  readonly work: WorkDone;
  /** Bytes of memory in use: packed weights, buffers, and the pages of all sessions there were at one time. */ readonly memoryBytes: number;
}

/** Buffers and kernels around packed weights. */
export function createMachine(weights: PackedWeights, memory: EngineMemory, using: { kernels: EngineKernels; threads: number }): Machine {
  const { kernels, threads } = using;
  const buffers = createBuffers(memory, kernels, { shape: weights.shape, parts: threads, counterCount: counterCount(weights.shape.layers) });
  return { kernels, memory, weights, buffers };
}

/** The engine as a language model; `dispose` ends its threads, the memory goes with the last reference. */
export function createEngine(parts: EngineParts): EngineModel {
  const { machine: { weights }, crew } = parts;
  const runner = createRunner(parts);
  return {
    kind: 'student',
    shape: weights.config,
    timeSteps: weights.shape.timeSteps,
    backend: 'engine',
    precision: weights.precision,
    threads: crew.threads,
    get work() { return runner.work; },
    get memoryBytes() { return parts.memory.usedBytes; },
    forward: async (sequences) => {
      const results: SequenceLogits[] = [];
      for (const ids of sequences) {
        results.push(runner.forward(ids));
        await nextTurn(); // so that Ctrl-C is heard between sequences
      }
      return results;
    },
    openSession: () => openSession(runner, createState()),
    dispose: () => crew.dispose(),
  };
}

/** Incremental decoding: the state holds the packed keys and values, the new tokens pass the blocks. */
function openSession(runner: Runner, state: SequenceState): DecodingSession {
  return {
    get length() { return state.length; },
    append: async (ids) => runner.append(state, ids),
    fork: () => openSession(runner, forkState(state, runner.pool)),
    dispose: () => clearState(state, runner.pool),
  };
}
