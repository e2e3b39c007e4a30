import type { JsonObject } from '../checkpoint/format.js';
import type { TrainSettings } from '../config/schema.js';
import type { Batches } from '../corpus/batches.js';
import type { PassRunner } from './passes.js';
import type { StepProfiler } from './profile.js';

/** A training run. Everything that decides the weights is the task's initial parameters, `settings` and `batches`. */
export interface TrainOptions {
  /** Receives metrics.jsonl and checkpoints/. */ readonly runFolder: string;
  /** Receives the best model so far, whole or not at all, e.g. `<run>/student`. */ readonly modelFolder: string;
  readonly settings: TrainSettings;
  /** At its start; a resumed run moves it to its checkpoint's cursor. */ readonly batches: Batches;
  /** L+1 tokens each. */ readonly validWindows: readonly Int32Array[];
  /** Loss of the best guess that ignores the context, on the same windows; not beating it means that nothing was learned. */
  readonly unigramNll: number;
  /** Plain JSON that says which run this is: the configuration and the hashes of what it reads, without what may change (its folder).
   *  A checkpoint of another identity is refused, the differing keys named. */
  readonly identity: JsonObject;
  /** Continue from the newest whole checkpoint. */ readonly isResumed: boolean;
  /** What to type to continue after Ctrl-C, e.g. `bispik distill --resume runs/shakespeare`. */ readonly resumeCommand: string;
  /** Who runs micro-batches and validation windows; of no influence on the result. The caller disposes it. */ readonly runner: PassRunner;
  /** Name of the progress bar. */ readonly phase: string;
  /** Measures some of the steps; null: none. */ readonly profiler: StepProfiler | null;
}
