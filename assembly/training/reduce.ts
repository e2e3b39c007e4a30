import { highDoubles, loadFloats, lowDoubles, storeFloats, sumDoubles } from './simd';

/** y (outer, inner) = sum over the middle axis of x (outer, count, inner), accumulated in float64 and divided by `divisor`. */
export function sumMiddle(x: usize, y: usize, outer: i32, count: i32, inner: i32, divisor: f64): void {
  const row = (<usize>inner) << 2;
  for (let o = 0; o < outer; o++) {
    if (inner == 1) {
      store<f32>(y, <f32>(sumContiguous(x, count) / divisor));
    } else {
      let i = 0;
      for (; i + 16 <= inner; i += 16) sumColumns16(x + ((<usize>i) << 2), y + ((<usize>i) << 2), count, row, divisor);
      for (; i < inner; i += 4) sumColumns4(x + ((<usize>i) << 2), y + ((<usize>i) << 2), count, row, inner - i, divisor);
    }
    x += <usize>count * row;
    y += row;
  }
}

function sumContiguous(x: usize, n: i32): f64 {
  let low = f64x2.splat(0), high = f64x2.splat(0);
  for (let i = 0; i < n; i += 4) {
    const v = loadFloats(x + ((<usize>i) << 2), n - i);
    low = f64x2.add(low, lowDoubles(v));
    high = f64x2.add(high, highDoubles(v));
  }
  return sumDoubles(f64x2.add(low, high));
}

function sumColumns16(x: usize, y: usize, count: i32, stride: usize, divisor: f64): void {
  const divisors = f64x2.splat(divisor);
  let s0 = f64x2.splat(0), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
  for (let i = 0; i < count; i++) {
    const a = v128.load(x), b = v128.load(x, 16), c = v128.load(x, 32), d = v128.load(x, 48);
    s0 = f64x2.add(s0, lowDoubles(a)); s1 = f64x2.add(s1, highDoubles(a));
    s2 = f64x2.add(s2, lowDoubles(b)); s3 = f64x2.add(s3, highDoubles(b));
    s4 = f64x2.add(s4, lowDoubles(c)); s5 = f64x2.add(s5, highDoubles(c));
    s6 = f64x2.add(s6, lowDoubles(d)); s7 = f64x2.add(s7, highDoubles(d));
    x += stride;
  }
  v128.store(y, toFloats(s0, s1, divisors)); v128.store(y, toFloats(s2, s3, divisors), 16);
  v128.store(y, toFloats(s4, s5, divisors), 32); v128.store(y, toFloats(s6, s7, divisors), 48);
}

function sumColumns4(x: usize, y: usize, count: i32, stride: usize, lanes: i32, divisor: f64): void {
  const divisors = f64x2.splat(divisor);
  let low = f64x2.splat(0), high = f64x2.splat(0);
  for (let i = 0; i < count; i++) {
    const v = loadFloats(x, lanes);
    low = f64x2.add(low, lowDoubles(v));
    high = f64x2.add(high, highDoubles(v));
    x += stride;
  }
  storeFloats(y, toFloats(low, high, divisors), lanes);
}

// @ts-ignore: decorator
@inline
function toFloats(low: v128, high: v128, divisors: v128): v128 {
  const first = f32x4.demote_f64x2_zero(f64x2.div(low, divisors));
  const second = f32x4.demote_f64x2_zero(f64x2.div(high, divisors));
  return i8x16.shuffle(first, second, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
}

/** error (1) = factor·Σ(x − target)² over n floats, squares accumulated in float64, and difference (n) = x − target. */
export function squaredError(x: usize, target: usize, error: usize, difference: usize, n: i32, factor: f32): void {
  let low = f64x2.splat(0), high = f64x2.splat(0);
  for (let i = 0; i < n; i += 4) {
    const at = (<usize>i) << 2;
    const d = f32x4.sub(loadFloats(x + at, n - i), loadFloats(target + at, n - i));
    const square = f32x4.mul(d, d);
    low = f64x2.add(low, lowDoubles(square));
    high = f64x2.add(high, highDoubles(square));
    storeFloats(difference + at, d, n - i);
  }
  store<f32>(error, <f32>sumDoubles(f64x2.add(low, high)) * factor);
}

/** y = Σ x² over n floats, in float64 and stored as one. */
export function squareSum(x: usize, y: usize, n: i32): void {
  const whole = n & ~7;
  let a = f64x2.splat(0), b = a, c = a, d = a;
  for (let i = 0; i < whole; i += 8) {
    const at = x + ((<usize>i) << 2);
    const first = v128.load(at), second = v128.load(at, 16);
    const p = lowDoubles(first), q = highDoubles(first), r = lowDoubles(second), s = highDoubles(second);
    a = f64x2.add(a, f64x2.mul(p, p));
    b = f64x2.add(b, f64x2.mul(q, q));
    c = f64x2.add(c, f64x2.mul(r, r));
    d = f64x2.add(d, f64x2.mul(s, s));
  }
  let sum = sumDoubles(f64x2.add(f64x2.add(a, b), f64x2.add(c, d)));
  for (let i = whole; i < n; i++) {
    const value = <f64>load<f32>(x + ((<usize>i) << 2));
    sum += value * value;
  }
  store<f64>(y, sum);
}

/** y (segments, inner) = sum of the rows of x (rows, inner) by segment, in row order; ids outside 0 … segments − 1 are dropped. */
export function segmentSum(x: usize, ids: usize, y: usize, rows: i32, inner: i32, segments: i32): void {
  const row = (<usize>inner) << 2;
  memory.fill(y, 0, <usize>segments * row);
  for (let r = 0; r < rows; r++) {
    const id = load<i32>(ids + ((<usize>r) << 2));
    if (id < 0 || id >= segments) continue;
    addInto(y + <usize>id * row, x + <usize>r * row, inner);
  }
}

/** into += from, n floats. */
export function addInto(into: usize, from: usize, n: i32): void {
  for (; n >= 4; n -= 4) {
    v128.store(into, f32x4.add(v128.load(into), v128.load(from)));
    into += 16;
    from += 16;
  }
  storeFloats(into, f32x4.add(loadFloats(into, n), loadFloats(from, n)), n);
}
