/** Largest difference of two lists as a share of the largest expected magnitude. */
export function relativeDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) throw new Error(`${actual.length} numbers, expected ${expected.length}`);
  let [difference, magnitude] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    const gap = Math.abs((actual[i] as number) - (expected[i] as number));
    if (!(gap <= difference)) difference = gap; // a NaN stays
    magnitude = Math.max(magnitude, Math.abs(expected[i] as number));
  }
  return difference / magnitude;
}

/** Asserts that two lists agree to `tolerance` of the largest expected magnitude. */
export function expectRelative(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number, what: string): void {
  const difference = relativeDifference(actual, expected);
  if (!(difference <= tolerance)) throw new Error(`${what}: relative difference ${difference}, at most ${tolerance} expected`);
}
