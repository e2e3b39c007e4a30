import { highDoubles, loadFloats, lowDoubles, storeFloats } from './simd';

/**
 * out (T, n) = stream + write, and mean (n) = factor·Σ out over the time steps, summed in float64 and rounded as `sumMiddle` does.
 * @param streamStride bytes from a time step of the stream to the next; 0 where it has one for all of them.
 */
export function addWrite(stream: usize, write: usize, out: usize, mean: usize, timeSteps: i32, n: i32, streamStride: usize, factor: f32): void {
  const factors = f32x4.splat(factor), step = (<usize>n) << 2;
  for (let i = 0; i < n; i += 4) {
    const lanes = n - i;
    let from = stream + ((<usize>i) << 2), at = (<usize>i) << 2;
    let low = f64x2.splat(0), high = low;
    for (let t = 0; t < timeSteps; t++) {
      const sum = f32x4.add(loadFloats(from, lanes), loadFloats(write + at, lanes));
      storeFloats(out + at, sum, lanes);
      low = f64x2.add(low, lowDoubles(sum));
      high = f64x2.add(high, highDoubles(sum));
      from += streamStride;
      at += step;
    }
    const total = i8x16.shuffle(f32x4.demote_f64x2_zero(low), f32x4.demote_f64x2_zero(high), 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
    storeFloats(mean + ((<usize>i) << 2), f32x4.mul(total, factors), lanes);
  }
}

/** dx (T, n) = dOut + factor·dMean at every time step, dMean (n); factor·dMean alone where dOut is 0. */
export function addWriteGrad(dOut: usize, dMean: usize, dx: usize, timeSteps: i32, n: i32, factor: f32): void {
  const factors = f32x4.splat(factor), step = (<usize>n) << 2;
  for (let i = 0; i < n; i += 4) {
    const lanes = n - i;
    const share = f32x4.mul(loadFloats(dMean + ((<usize>i) << 2), lanes), factors);
    let at = (<usize>i) << 2;
    for (let t = 0; t < timeSteps; t++) {
      storeFloats(dx + at, dOut == 0 ? share : f32x4.add(loadFloats(dOut + at, lanes), share), lanes);
      at += step;
    }
  }
}
