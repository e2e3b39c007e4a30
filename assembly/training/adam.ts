import { loadFloats, storeFloats } from './simd';

/**
 * One AdamW update of n floats: g ← g·gradScale, m' = β₁·m + (1 − β₁)·g, v' = β₂·v + (1 − β₂)·g²,
 * p' = p·(1 − decayStep) − step·m'/(√(v')·rootCorrection + ε), where the caller folds the bias corrections into `step` and
 * `rootCorrection`, and learning rate times weight decay into `decayStep`.
 */
export function adamStep(
  p: usize, g: usize, m: usize, v: usize, nextP: usize, nextM: usize, nextV: usize, n: i32,
  gradScale: f32, beta1: f32, oneMinusBeta1: f32, beta2: f32, oneMinusBeta2: f32,
  step: f32, rootCorrection: f32, epsilon: f32, decayStep: f32,
): void {
  const keep = f32x4.splat(1 - decayStep), steps = f32x4.splat(step), epsilons = f32x4.splat(epsilon);
  const scales = f32x4.splat(gradScale), corrections = f32x4.splat(rootCorrection);
  for (let i = 0; i < n; i += 4) {
    const at = (<usize>i) << 2;
    const lanes = n - i;
    const gradient = f32x4.mul(loadFloats(g + at, lanes), scales);
    const first = f32x4.add(f32x4.mul(loadFloats(m + at, lanes), f32x4.splat(beta1)), f32x4.mul(gradient, f32x4.splat(oneMinusBeta1)));
    const square = f32x4.mul(f32x4.mul(gradient, gradient), f32x4.splat(oneMinusBeta2));
    const second = f32x4.add(f32x4.mul(loadFloats(v + at, lanes), f32x4.splat(beta2)), square);
    const root = f32x4.add(f32x4.mul(f32x4.sqrt(second), corrections), epsilons);
    const moved = f32x4.div(f32x4.mul(first, steps), root);
    storeFloats(nextP + at, f32x4.sub(f32x4.mul(loadFloats(p + at, lanes), keep), moved), lanes);
    storeFloats(nextM + at, first, lanes);
    storeFloats(nextV + at, second, lanes);
  }
}
