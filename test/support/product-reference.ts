/** x·y + sum of float32 numbers, as one of the two compiled matrix products rounds it. */
export type MultiplyAdd = (x: number, y: number, sum: number) => number;

/** Product and sum rounded to float32 one after the other. */
export const roundedTwice: MultiplyAdd = (x, y, sum) => Math.fround(sum + Math.fround(x * y));

const float = new Float64Array(1);
const bits = new BigInt64Array(float.buffer);

/**
 * Rounded to float32 once. The product is exact in float64; the sum is rounded to odd there (when it is inexact its last bit is set), after
 * which rounding to float32 gives what rounding the exact sum gives (Boldo and Melquiond, 2008).
 */
export const roundedOnce: MultiplyAdd = (x, y, sum) => {
  const product = x * y;
  const total = product + sum;
  const ofSum = total - product;
  const error = (product - (total - ofSum)) + (sum - ofSum);
  if (error === 0 || !Number.isFinite(error)) return Math.fround(total);
  float[0] = total;
  const last = bits[0] as bigint;
  if ((last & 1n) === 0n) bits[0] = (error > 0) === (total > 0) ? last + 1n : last - 1n;
  return Math.fround(float[0]);
};

/** C (m, n) = A (m, k)·B (k, n), every element summed with k ascending. */
export function product(a: Float32Array, b: Float32Array, sizes: { readonly size: readonly [m: number, n: number, k: number]; readonly multiplyAdd: MultiplyAdd }): Float32Array {
  const [m, n, k] = sizes.size;
  const c = new Float32Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let x = 0; x < k; x++) sum = sizes.multiplyAdd(a[i * k + x] ?? 0, b[x * n + j] ?? 0, sum);
      c[i * n + j] = sum;
    }
  }
  return c;
}
