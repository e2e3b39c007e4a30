import { exp4 } from './math';
import { firstLanes, loadFloats, maxLanes, highDoubles, lowDoubles, storeFloats, sumDoubles } from './simd';

/** y = exp(x), n floats. */
export function exp(x: usize, y: usize, n: i32): void {
  for (let i = 0; i < n; i += 4) {
    const at = (<usize>i) << 2;
    storeFloats(y + at, exp4(loadFloats(x + at, n - i)), n - i);
  }
}

/** Largest of n floats. */
export function maximum(x: usize, n: i32): f32 {
  let best = f32x4.splat(load<f32>(x));
  const whole = n & ~3;
  for (let i = 0; i < whole; i += 4) best = f32x4.max(best, v128.load(x + ((<usize>i) << 2)));
  let result = maxLanes(best);
  for (let i = whole; i < n; i++) result = max(result, load<f32>(x + ((<usize>i) << 2)));
  return result;
}

/** y = exp((x − shift)/divisor), n floats; returns their sum, accumulated in float64. */
export function shiftedExp(x: usize, y: usize, n: i32, shift: f32, divisor: f32): f64 {
  const shifts = f32x4.splat(shift), divisors = f32x4.splat(divisor);
  let low = f64x2.splat(0), high = f64x2.splat(0);
  for (let i = 0; i < n; i += 4) {
    const at = (<usize>i) << 2;
    const value = exp4(f32x4.div(f32x4.sub(loadFloats(x + at, n - i), shifts), divisors));
    storeFloats(y + at, value, n - i);
    const counted = v128.and(value, firstLanes(n - i));
    low = f64x2.add(low, lowDoubles(counted));
    high = f64x2.add(high, highDoubles(counted));
  }
  return sumDoubles(f64x2.add(low, high));
}

/** Softmax of each row of x (rows, n). */
export function softmax(x: usize, y: usize, rows: i32, n: i32): void {
  for (let row = 0; row < rows; row++) {
    const total = shiftedExp(x, y, n, maximum(x, n), 1);
    const factor = f32x4.splat(<f32>(1 / total));
    for (let i = 0; i < n; i += 4) {
      const at = (<usize>i) << 2;
      storeFloats(y + at, f32x4.mul(loadFloats(y + at, n - i), factor), n - i);
    }
    x += (<usize>n) << 2;
    y += (<usize>n) << 2;
  }
}
