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
export function largestOf(x: usize, n: i32): f32 {
  let a = f32x4.splat(load<f32>(x)), b = a, c = a, d = a;
  const whole = n & ~3;
  let i = 0;
  for (; i + 16 <= whole; i += 16) {
    // Four chains, so that none waits for the comparison before.
    const at = x + ((<usize>i) << 2);
    a = f32x4.pmax(a, v128.load(at));
    b = f32x4.pmax(b, v128.load(at, 16));
    c = f32x4.pmax(c, v128.load(at, 32));
    d = f32x4.pmax(d, v128.load(at, 48));
  }
  for (; i < whole; i += 4) a = f32x4.pmax(a, v128.load(x + ((<usize>i) << 2)));
  let result = maxLanes(f32x4.pmax(f32x4.pmax(a, b), f32x4.pmax(c, d)));
  for (; i < n; i++) result = max(result, load<f32>(x + ((<usize>i) << 2)));
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

/** y = x², n floats; returns their sum, runs of 256 added up in float64. */
export function squares(x: usize, y: usize, n: i32): f64 {
  let total: f64 = 0;
  for (let start = 0; start < n; start += RUN) {
    let sum = f32x4.splat(0);
    const end = min(start + RUN, n);
    for (let i = start; i < end; i += 4) {
      const at = (<usize>i) << 2;
      const value = loadFloats(x + at, n - i);
      const square = f32x4.mul(value, value);
      storeFloats(y + at, square, n - i);
      sum = f32x4.add(sum, square);
    }
    total += <f64>sumLanes(sum);
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

/** y = factor·x, n floats; y may be x. */
export function scaleFloats(x: usize, y: usize, n: i32, factor: f32): void {
  const factors = f32x4.splat(factor);
  for (let i = 0; i < n; i += 4) {
    const at = (<usize>i) << 2;
    storeFloats(y + at, f32x4.mul(loadFloats(x + at, n - i), factors), n - i);
  }
}

/** y (n) bytes = [a ≥ b], b being one float when `scalar`. */
export function greaterEqual(a: usize, b: usize, y: usize, n: i32, scalar: bool): void {
  compare(a, b, y, n, scalar, false);
}

/** y (n) bytes = [a < b], b being one float when `scalar`. */
export function less(a: usize, b: usize, y: usize, n: i32, scalar: bool): void {
  compare(a, b, y, n, scalar, true);
}

// @ts-ignore: decorator
@inline
function compare(a: usize, b: usize, y: usize, n: i32, scalar: bool, isLess: bool): void {
  const first = v128.load_splat<f32>(b);
  const whole = n & ~15;
  for (let i = 0; i < whole; i += 16) {
    const at = (<usize>i) << 2;
    const low = i16x8.narrow_i32x4_s(holds(a + at, b + at, first, scalar, isLess), holds(a + at + 16, b + at + 16, first, scalar, isLess));
    const high = i16x8.narrow_i32x4_s(holds(a + at + 32, b + at + 32, first, scalar, isLess), holds(a + at + 48, b + at + 48, first, scalar, isLess));
    v128.store(y + <usize>i, v128.and(i8x16.narrow_i16x8_s(low, high), i8x16.splat(1)));
  }
  for (let i = whole; i < n; i++) {
    const at = (<usize>i) << 2;
    const left = load<f32>(a + at), right = load<f32>(scalar ? b : b + at);
    store<u8>(y + <usize>i, <u8>(isLess ? left < right : left >= right));
  }
}

// @ts-ignore: decorator
@inline
function holds(a: usize, b: usize, first: v128, scalar: bool, isLess: bool): v128 {
  const left = v128.load(a), right = scalar ? first : v128.load(b);
  return isLess ? f32x4.lt(left, right) : f32x4.ge(left, right);
}

/** y (n) = max(a, b), b being one float when `scalar`; NaN where either is NaN. */
export function maximum(a: usize, b: usize, y: usize, n: i32, scalar: bool): void {
  const first = v128.load_splat<f32>(b);
  for (let i = 0; i < n; i += 4) {
    const at = (<usize>i) << 2;
    storeFloats(y + at, f32x4.max(loadFloats(a + at, n - i), scalar ? first : loadFloats(b + at, n - i)), n - i);
  }
}
