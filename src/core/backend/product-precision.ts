/** Whether matrix products round their inputs to float16 now, and which pass this is: what was learnt about tensors holds for one pass. */
let [isHalf, pass] = [false, 0];

/**
 * Runs a computation whose matrix products may round their inputs to float16; sums, results and everything else stay float32. A backend without
 * such products computes as ever, so ask `prepareHalfProducts` first. @returns what `compute` returns, which must not be a promise.
 */
export function withHalfProducts<Result>(compute: () => Result): Result {
  const before = isHalf;
  [isHalf, pass] = [true, pass + 1];
  try {
    return compute();
  } finally {
    isHalf = before;
  }
}

/** The number of the present pass with products of float16 inputs, or null outside of one. */
export function halfPass(): number | null {
  return isHalf ? pass : null;
}
