import { UsageError } from '../errors.js';

/** Stated in every report: how a long sequence is cut. */
export interface WindowOptions {
  /** Most tokens a model sees at once. */ readonly contextLength: number;
  /** Targets a window after the first adds; `contextLength` means no overlap. */ readonly stride: number;
}

/** One model input cut from a sequence; its targets are the ids one place to the right. */
export interface EvalWindow {
  /** Index of the sequence. */ readonly sequence: number;
  /** First input token. */ readonly start: number;
  /** Input tokens, at most the context. */ readonly length: number;
  /** Local index of the first input whose target is scored; earlier inputs are only left context. */ readonly firstScored: number;
}

/** @throws UsageError unless 1 ≤ stride ≤ contextLength, both whole numbers. */
export function checkWindowOptions({ contextLength, stride }: WindowOptions): void {
  if (!Number.isInteger(contextLength) || contextLength < 1) {
    throw new UsageError(`the context must be a whole number of at least 1 token, found ${contextLength}`, { suggestions: ['--context 64'] });
  }
  if (!Number.isInteger(stride) || stride < 1 || stride > contextLength) {
    throw new UsageError(`the stride must be a whole number from 1 to the context (${contextLength}), found ${stride}`, {
      suggestions: [`--stride ${contextLength} (windows that do not overlap)`, `--stride ${Math.max(1, Math.floor(contextLength / 2))}`],
    });
  }
}

/**
 * Cuts sequences of the given lengths into windows such that every id but the first of each sequence is a target exactly once.
 * Windows start every `stride` tokens; those after the first of a sequence see `contextLength − stride` tokens of left context
 * before the first target they score. The last may be shorter.
 * @throws UsageError on a stride outside 1..contextLength.
 */
export function cutWindows(lengths: readonly number[], options: WindowOptions): readonly EvalWindow[] {
  checkWindowOptions(options);
  const windows: EvalWindow[] = [];
  lengths.forEach((ids, sequence) => {
    const targets = ids - 1;
    let scored = 0;
    for (let start = 0; scored < targets; start += options.stride) {
      const length = Math.min(options.contextLength, targets - start);
      windows.push({ sequence, start, length, firstScored: scored - start });
      scored = start + length;
    }
  });
  return windows;
}
