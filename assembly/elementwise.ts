import { exp4 } from './math';
import { firstLanes, loadFloats, maxLanes, storeFloats, sumLanes } from './simd';

/** Floats added in float32 lanes before the sum moves to float64. */
const RUN: i32 = 256;

/** y = exp(x), n floats. */
export function exp(x: usize, y: usize, n: i32): void {
  const whole = n & ~3;
  const end = x + ((<usize>whole) << 2);
  while (x < end) {
    v128.store(y, exp4(v128.load(x)));
    x += 16;
    y += 16;
  }
  if (whole < n) storeFloats(y, exp4(loadFloats(x, n - whole)), n - whole);
}

/** Largest of n floats; a NaN may be passed over. */
export function maximum(x: usize, n: i32): f32 {
  let best = f32x4.splat(load<f32>(x));
  const whole = n & ~3;
  for (let i = 0; i < whole; i += 4) best = f32x4.pmax(best, v128.load(x + ((<usize>i) << 2)));
  let result = maxLanes(best);
  for (let i = whole; i < n; i++) result = max(result, load<f32>(x + ((<usize>i) << 2)));
  return result;
}

/** y = exp((x − shift)/divisor), n floats; returns their sum, runs of 256 added up in float64. */
export function shiftedExp(x: usize, y: usize, n: i32, shift: f32, divisor: f32): f64 {
  let total: f64 = 0;
  for (let start = 0; start < n; start += RUN) {
    const at = (<usize>start) << 2;
    total += <f64>sumLanes(shiftedExpRun(x + at, y + at, min(RUN, n - start), shift, divisor));
  }
  return total;
}

function shiftedExpRun(x: usize, y: usize, n: i32, shift: f32, divisor: f32): v128 {
  const shifts = f32x4.splat(shift), factors = f32x4.splat(1 / divisor);
  const whole = n & ~3;
  const end = y + ((<usize>whole) << 2);
  let sum = f32x4.splat(0);
  while (y < end) {
    const value = exp4(f32x4.mul(f32x4.sub(v128.load(x), shifts), factors));
    v128.store(y, value);
    sum = f32x4.add(sum, value);
    x += 16;
    y += 16;
  }
  if (whole < n) {
    const value = exp4(f32x4.mul(f32x4.sub(loadFloats(x, n - whole), shifts), factors));
    storeFloats(y, value, n - whole);
    sum = f32x4.add(sum, v128.and(value, firstLanes(n - whole)));
  }
  return sum;
}
