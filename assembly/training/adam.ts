import { loadFloats, storeFloats } from './simd';

/**
 * One AdamW update of n floats, in place: g ← g·gradScale, m ← β₁·m + (1 − β₁)·g, v ← β₂·v + (1 − β₂)·g²,
 * p ← p·(1 − decayStep) − step·m/(√v·rootCorrection + ε) or `lowest` where that is more, where the caller folds the bias corrections into
 * `step` and `rootCorrection`, and learning rate times weight decay into `decayStep`. The gradients stay as they are in memory.
 */
export function adamStep(
  p: usize, g: usize, m: usize, v: usize, n: i32, lowest: f32,
  gradScale: f32, beta1: f32, oneMinusBeta1: f32, beta2: f32, oneMinusBeta2: f32,
  step: f32, rootCorrection: f32, epsilon: f32, decayStep: f32,
): void {
  const keep = f32x4.splat(1 - decayStep), steps = f32x4.splat(step), epsilons = f32x4.splat(epsilon), bounds = f32x4.splat(lowest);
  const scales = f32x4.splat(gradScale), corrections = f32x4.splat(rootCorrection);
  const keepFirst = f32x4.splat(beta1), takeFirst = f32x4.splat(oneMinusBeta1), keepSecond = f32x4.splat(beta2), takeSecond = f32x4.splat(oneMinusBeta2);
  // Whole vectors without a question about lanes: the loop takes half the time.
  for (; n >= 4; n -= 4) {
    updateLanes(p, g, m, v, 4, bounds, scales, keepFirst, takeFirst, keepSecond, takeSecond, steps, corrections, epsilons, keep);
    p += 16; g += 16; m += 16; v += 16;
  }
  updateLanes(p, g, m, v, n, bounds, scales, keepFirst, takeFirst, keepSecond, takeSecond, steps, corrections, epsilons, keep);
}

// @ts-ignore: decorator
@inline
function updateLanes(
  p: usize, g: usize, m: usize, v: usize, lanes: i32, bounds: v128,
  scales: v128, keepFirst: v128, takeFirst: v128, keepSecond: v128, takeSecond: v128, steps: v128, corrections: v128, epsilons: v128, keep: v128,
): void {
  const gradient = f32x4.mul(loadFloats(g, lanes), scales);
  const first = f32x4.add(f32x4.mul(loadFloats(m, lanes), keepFirst), f32x4.mul(gradient, takeFirst));
  const second = f32x4.add(f32x4.mul(loadFloats(v, lanes), keepSecond), f32x4.mul(f32x4.mul(gradient, gradient), takeSecond));
  const root = f32x4.add(f32x4.mul(f32x4.sqrt(second), corrections), epsilons);
  const moved = f32x4.sub(f32x4.mul(loadFloats(p, lanes), keep), f32x4.div(f32x4.mul(first, steps), root));
  storeFloats(p, f32x4.pmax(moved, bounds), lanes); // a NaN stays one
  storeFloats(m, first, lanes);
  storeFloats(v, second, lanes);
}
