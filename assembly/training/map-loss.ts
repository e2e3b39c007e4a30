import { rateVector } from './lif';
import { RESET_SOFT } from './neuron';
import { clearFloats, highDoubles, loadFloats, lowDoubles, storeFloats, sumDoubles } from './simd';

/**
 * loss = rateFactor·Σ(x − rate)² + factor·Σ(x − target)² over causal maps (maps, n, n), which are 0 above the diagonal. `rate` is how often a neuron
 * without gain and bias fires in `timeSteps` steps of the constant current `target`. Squares are accumulated in float64.
 */
export function mapLoss(
  x: usize, target: usize, loss: usize, maps: i32, n: i32, timeSteps: i32, decay: f32, threshold: f32, reset: i32, rateFactor: f32, factor: f32,
): void {
  // The usual neuron is compiled for itself.
  if (reset == RESET_SOFT) addSquares(x, target, loss, maps, n, timeSteps, decay, threshold, RESET_SOFT, rateFactor, factor);
  else addSquares(x, target, loss, maps, n, timeSteps, decay, threshold, reset, rateFactor, factor);
}

// @ts-ignore: decorator
@inline
function addSquares(
  x: usize, target: usize, loss: usize, maps: i32, n: i32, timeSteps: i32, decay: f32, threshold: f32, reset: i32, rateFactor: f32, factor: f32,
): void {
  let lowRate = f64x2.splat(0), highRate = lowRate, low = lowRate, high = lowRate;
  for (let row = 0; row < maps * n; row++) {
    for (let j = 0; j <= row % n; j += 4) {
      const at = (<usize>j) << 2;
      const value = loadFloats(x + at, n - j), wanted = loadFloats(target + at, n - j);
      const fromRate = f32x4.sub(value, rateVector(wanted, timeSteps, decay, threshold, reset));
      const difference = f32x4.sub(value, wanted);
      const rateSquare = f32x4.mul(fromRate, fromRate), square = f32x4.mul(difference, difference);
      lowRate = f64x2.add(lowRate, lowDoubles(rateSquare));
      highRate = f64x2.add(highRate, highDoubles(rateSquare));
      low = f64x2.add(low, lowDoubles(square));
      high = f64x2.add(high, highDoubles(square));
    }
    x += (<usize>n) << 2;
    target += (<usize>n) << 2;
  }
  store<f32>(loss, <f32>sumDoubles(f64x2.add(lowRate, highRate)) * rateFactor + <f32>sumDoubles(f64x2.add(low, high)) * factor);
}

/** dx (maps, n, n) = rateSlope·(x − rate) + slope·(x − target), each slope being the float at `dy` times a factor; 0 above the diagonal. */
export function mapLossGrad(
  x: usize, target: usize, dy: usize, dx: usize, maps: i32, n: i32, timeSteps: i32, decay: f32, threshold: f32, reset: i32, rateFactor: f32, factor: f32,
): void {
  const rateSlope = load<f32>(dy) * rateFactor, slope = load<f32>(dy) * factor;
  if (reset == RESET_SOFT) storeSlopes(x, target, dx, maps, n, timeSteps, decay, threshold, RESET_SOFT, rateSlope, slope);
  else storeSlopes(x, target, dx, maps, n, timeSteps, decay, threshold, reset, rateSlope, slope);
}

// @ts-ignore: decorator
@inline
function storeSlopes(
  x: usize, target: usize, dx: usize, maps: i32, n: i32, timeSteps: i32, decay: f32, threshold: f32, reset: i32, rateSlope: f32, slope: f32,
): void {
  const rateSlopes = f32x4.splat(rateSlope), slopes = f32x4.splat(slope);
  const rowBytes = (<usize>n) << 2;
  for (let row = 0; row < maps * n; row++) {
    const i = row % n;
    for (let j = 0; j <= i; j += 4) {
      const at = (<usize>j) << 2;
      const value = loadFloats(x + at, n - j), wanted = loadFloats(target + at, n - j);
      const fromRate = f32x4.mul(f32x4.sub(value, rateVector(wanted, timeSteps, decay, threshold, reset)), rateSlopes);
      storeFloats(dx + at, f32x4.add(f32x4.mul(f32x4.sub(value, wanted), slopes), fromRate), n - j);
    }
    const done = (i & ~3) + 4;
    if (done < n) clearFloats(dx + ((<usize>done) << 2), n - done);
    x += rowBytes;
    target += rowBytes;
    dx += rowBytes;
  }
}
