import { ConfigError, FormatError } from '../errors.js';
import { createRandom, deriveSeed, shuffledOrder } from './random.js';

/** Where a batch stream stands: plain JSON, all a checkpoint needs to continue it exactly. */
export interface BatchCursor {
  /** Passes completed. */ readonly epoch: number;
  /** Windows of the current pass already handed out. */ readonly position: number;
  /** The stream's seed, kept so that a checkpoint of another stream is noticed. */ readonly seed: number;
}

export interface BatchOptions {
  /** B */ readonly batch: number;
  /** L */ readonly context: number;
  readonly seed: number;
  /** True: every pass cuts the stream at the same places, 0, L, 2L, …, so that what is known of a window holds in later passes. Default false. */
  readonly isAligned?: boolean;
}

/** Training windows as plain data, which can be copied to another thread as it is. */
export interface TokenBatch {
  /** (B, L+1) row-major: the first L of a row are inputs, the last L its targets. */ readonly tokens: Int32Array;
  /** (B): where each row begins in the token stream. */ readonly starts: Int32Array;
  /** What a teacher cache holds of these windows; absent where the teacher runs. */ readonly sampled?: SampledRows;
}

/** A sample of a teacher's distribution after each input of a batch, row-major. */
export interface SampledRows {
  /** N */ readonly samples: number;
  /** (B·L, N) */ readonly ids: Int32Array;
  /** (B·L, N); each row sums to 1. */ readonly weights: Float32Array;
  /** (B·L): entropy of the whole distribution, nats. */ readonly entropy: Float32Array;
}

/** An endless stream of training batches. */
export interface Batches {
  /** Windows of one pass. */ readonly windowsPerEpoch: number;
  /** windowsPerEpoch / B; a fraction where B does not divide, because batches run on across the end of a pass. */
  readonly batchesPerEpoch: number;
  /** The next B windows, in arrays of their own. */
  next(): TokenBatch;
  cursor(): BatchCursor;
  /** Continues at a cursor. @throws FormatError when it belongs to another seed or lies outside a pass. */
  restore(cursor: BatchCursor): void;
}

interface Epoch {
  /** First token of window 0. */ readonly phase: number;
  /** Window numbers in the order of this pass. */ readonly order: Int32Array;
}

/** Checks that a context fits a token stream. @returns how many windows of L+1 tokens at stride L it holds. @throws ConfigError when none. */
function countWindows(tokens: Int32Array, context: number): number {
  if (!Number.isInteger(context) || context < 1) throw new ConfigError(`context must be a whole number of tokens, at least 1; found ${context}`);
  const windows = Math.floor((tokens.length - 1) / context);
  if (windows < 1) {
    throw new ConfigError(`the corpus part has ${tokens.length} tokens; one window of context ${context} needs ${context + 1}`, {
      suggestions: ['use more text', `lower train.context to at most ${Math.max(1, tokens.length - 1)}`],
    });
  }
  return windows;
}

/**
 * How a pass lies over the stream. With k = ⌊(N−1)/L⌋ windows in N tokens, a pass takes k − 1 of them from a phase in [0, L), so every phase fits
 * and every pass has the same length; a stream with a single window keeps it and moves it over whatever room is left. Aligned passes take all k from phase 0.
 */
function layoutOf(tokens: Int32Array, { context, isAligned = false }: BatchOptions): { windows: number; phases: number } {
  const windows = countWindows(tokens, context);
  if (isAligned) return { windows, phases: 1 };
  return windows > 1 ? { windows: windows - 1, phases: context } : { windows: 1, phases: tokens.length - context };
}

/**
 * Training batches from a token stream: each pass cuts it into windows of L+1 tokens at stride L from a seeded phase (0 where aligned) and hands every window out once,
 * in a seeded order. Pass e depends on (seed, e) only, so a cursor restores the stream exactly.
 * @throws ConfigError when the stream is too short for one window, or B or L is not a positive whole number.
 */
export function createBatches(tokens: Int32Array, options: BatchOptions): Batches {
  const { batch, context, seed } = options;
  if (!Number.isInteger(batch) || batch < 1) throw new ConfigError(`batch must be a whole number of sequences, at least 1; found ${batch}`);
  const { windows, phases } = layoutOf(tokens, options);
  const layEpoch = (epoch: number): Epoch => {
    const random = createRandom(deriveSeed(seed, epoch));
    return { phase: random.integer(phases), order: shuffledOrder(windows, random) };
  };
  let at = { epoch: 0, position: 0 };
  let current = layEpoch(0);

  const nextStart = (): number => {
    if (at.position === windows) {
      at = { epoch: at.epoch + 1, position: 0 };
      current = layEpoch(at.epoch);
    }
    return current.phase + (current.order[at.position++] as number) * context;
  };
  return {
    windowsPerEpoch: windows,
    batchesPerEpoch: windows / batch,
    next() {
      const starts = Int32Array.from({ length: batch }, nextStart);
      const rows = new Int32Array(batch * (context + 1));
      starts.forEach((start, row) => { rows.set(tokens.subarray(start, start + context + 1), row * (context + 1)); });
      return { tokens: rows, starts };
    },
    cursor: () => ({ ...at, seed }),
    restore(cursor) {
      checkCursor(cursor, seed, windows);
      at = { epoch: cursor.epoch, position: cursor.position };
      current = layEpoch(cursor.epoch);
    },
  };
}

/** @throws FormatError when the cursor is not one of this stream. */
function checkCursor(cursor: BatchCursor, seed: number, windows: number): void {
  const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
  if (!isCount(cursor.epoch) || !isCount(cursor.position) || cursor.position > windows) {
    throw new FormatError(`data cursor ${JSON.stringify(cursor)} does not lie in a pass of ${windows} windows: it was written for another corpus or is damaged`);
  }
  if (cursor.seed !== seed) throw new FormatError(`data cursor belongs to seed ${cursor.seed}, this run has seed ${seed}`);
}

/**
 * The validation windows of a token stream: L+1 tokens each (views, not copies) at stride L, in order, so that their targets are tokens 1 … k·L, each
 * once; the last (N−1) mod L tokens, which fill no window, are left out. @throws ConfigError when the stream is too short for one window.
 */
export function windowsOf(tokens: Int32Array, context: number): Int32Array[] {
  return Array.from({ length: countWindows(tokens, context) }, (_, index) => tokens.subarray(index * context, (index + 1) * context + 1));
}
