import { rateVector } from './lif';
import { fire } from './neuron';
import { highDoubles, loadFloats, lowDoubles, sumDoubles } from './simd';

/**
 * rateFactor·Σ(x − rate)² + factor·Σ(x − target)² over the causal part of maps, a row at a time: x is how often attention neurons fired in T steps, `rate` how
 * often a neuron without gain and bias fires that is fed the target as a constant current. Membranes and targets are 0 behind the diagonal. Squares are accumulated in float64.
 */

/** Bytes of the sums of squares that `addRowSquares` adds to. */
export const SQUARES_BYTES: usize = 64;

/** No constant current below this fires within T steps: u[T] = current·Σ decay^k reaches the threshold first, less what rounding may do to it. */
export function leastFiring(timeSteps: i32, decay: f32, threshold: f32): f32 {
  let reach: f64 = 0;
  for (let t = 0; t < timeSteps; t++) reach = reach * <f64>decay + 1;
  return <f32>(0.999 * <f64>threshold / reach);
}

/** Rates of four neurons; most targets are too small to fire, and are not run. */
// @ts-ignore: decorator
@inline
function rateOf(target: v128, least: v128, timeSteps: i32, decay: f32, threshold: f32, reset: i32): v128 {
  return v128.any_true(f32x4.ge(target, least)) ? rateVector(target, timeSteps, decay, threshold, reset) : f32x4.splat(0);
}

/** Adds the squares of row i of maps of n × n entries to the four pairs of sums at `sums`. */
export function addRowSquares(
  x: usize, target: usize, sums: usize, i: i32, n: i32, timeSteps: i32, decay: f32, threshold: f32, reset: i32, least: f32,
): void {
  const leasts = f32x4.splat(least);
  let lowRate = v128.load(sums), highRate = v128.load(sums, 16), low = v128.load(sums, 32), high = v128.load(sums, 48);
  for (let j = 0; j <= i; j += 4) {
    const at = (<usize>j) << 2;
    const value = loadFloats(x + at, n - j), wanted = loadFloats(target + at, n - j);
    const fromRate = f32x4.sub(value, rateOf(wanted, leasts, timeSteps, decay, threshold, reset));
    const difference = f32x4.sub(value, wanted);
    const rateSquare = f32x4.mul(fromRate, fromRate), square = f32x4.mul(difference, difference);
    lowRate = f64x2.add(lowRate, lowDoubles(rateSquare));
    highRate = f64x2.add(highRate, highDoubles(rateSquare));
    low = f64x2.add(low, lowDoubles(square));
    high = f64x2.add(high, highDoubles(square));
  }
  v128.store(sums, lowRate);
  v128.store(sums, highRate, 16);
  v128.store(sums, low, 32);
  v128.store(sums, high, 48);
}

/** The loss that the sums of squares make. */
export function lossOf(sums: usize, rateFactor: f32, factor: f32): f32 {
  const rate = sumDoubles(f64x2.add(v128.load(sums), v128.load(sums, 16)));
  return <f32>rate * rateFactor + <f32>sumDoubles(f64x2.add(v128.load(sums, 32), v128.load(sums, 48))) * factor;
}

/** slopes = rateSlope·(x − rate) + slope·(x − target) of row i in whole vectors, x from the membranes of the row at T steps `stepU` apart. */
export function storeRowSlopes(
  membrane: usize, stepU: usize, target: usize, slopes: usize, i: i32, n: i32,
  timeSteps: i32, decay: f32, threshold: f32, reset: i32, least: f32, rateSlope: f32, slope: f32,
): void {
  const thresholds = f32x4.splat(threshold), leasts = f32x4.splat(least), steps = f32x4.splat(<f32>timeSteps);
  const ofRate = f32x4.splat(rateSlope), ofTarget = f32x4.splat(slope);
  for (let j = 0; j <= i; j += 4) {
    const at = (<usize>j) << 2;
    let sum = f32x4.splat(0);
    for (let t = 0; t < timeSteps; t++) sum = f32x4.add(sum, fire(loadFloats(membrane + <usize>t * stepU + at, n - j), thresholds));
    const value = f32x4.div(sum, steps), wanted = loadFloats(target + at, n - j);
    const fromRate = f32x4.mul(f32x4.sub(value, rateOf(wanted, leasts, timeSteps, decay, threshold, reset)), ofRate);
    v128.store(slopes + at, f32x4.add(f32x4.mul(f32x4.sub(value, wanted), ofTarget), fromRate));
  }
}
