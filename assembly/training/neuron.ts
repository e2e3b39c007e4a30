import { exp4 } from './math';

/** The leaky integrate-and-fire neuron, four at a time. `reset` and `surrogate` are the numbers the callers pass. */

export const RESET_SOFT: i32 = 0;
export const RESET_SOFT_LEAKED: i32 = 1;
export const RESET_HARD: i32 = 2;
export const SURROGATE_ATAN: i32 = 0;
const SURROGATE_SIGMOID: i32 = 1;

/** What remains of the membrane one step later, s = 0 or 1 being the spike it fired. */
// @ts-ignore: decorator
@inline
export function carriedMembrane(u: v128, s: v128, decay: v128, threshold: v128, reset: i32): v128 {
  if (reset == RESET_SOFT) return f32x4.sub(f32x4.mul(u, decay), f32x4.mul(s, threshold));
  if (reset == RESET_SOFT_LEAKED) return f32x4.mul(f32x4.sub(u, f32x4.mul(s, threshold)), decay);
  return f32x4.mul(f32x4.mul(u, decay), f32x4.sub(f32x4.splat(1), s));
}

/** 1 where u ≥ threshold, else 0. */
// @ts-ignore: decorator
@inline
export function fire(u: v128, threshold: v128): v128 {
  return v128.and(f32x4.ge(u, threshold), f32x4.splat(1));
}

/** Gradient with respect to u[t] from that of the spike s[t] and of u[t + 1] (`later`, 0 at the last step). */
// @ts-ignore: decorator
@inline
export function membraneGradient(
  ds: v128, u: v128, later: v128, decay: v128, threshold: v128, reset: i32, surrogate: i32, alpha: f32, detach: bool,
): v128 {
  let spikeGradient = ds;
  let carried = f32x4.mul(later, decay);
  if (reset == RESET_HARD) carried = v128.and(carried, f32x4.lt(u, threshold));
  if (!detach) {
    let slope = threshold;
    if (reset == RESET_SOFT_LEAKED) slope = f32x4.mul(decay, threshold);
    if (reset == RESET_HARD) slope = f32x4.mul(u, decay);
    spikeGradient = f32x4.sub(ds, f32x4.mul(later, slope));
  }
  return f32x4.add(f32x4.mul(spikeGradient, surrogateDerivative(f32x4.sub(u, threshold), surrogate, alpha)), carried);
}

// @ts-ignore: decorator
@inline
function surrogateDerivative(x: v128, surrogate: i32, alpha: f32): v128 {
  const one = f32x4.splat(1);
  if (surrogate == SURROGATE_ATAN) {
    const scaled = f32x4.mul(x, f32x4.splat(<f32>1.5707963267948966 * alpha));
    return f32x4.div(f32x4.splat(alpha / 2), f32x4.add(one, f32x4.mul(scaled, scaled)));
  }
  const width = f32x4.splat(alpha);
  if (surrogate == SURROGATE_SIGMOID) {
    // σ(z)·(1 − σ(z)) = e/(1 + e)² with e = exp(−|z|), which neither overflows nor cancels.
    const e = exp4(f32x4.neg(f32x4.abs(f32x4.mul(x, width))));
    const sum = f32x4.add(one, e);
    return f32x4.mul(width, f32x4.div(e, f32x4.mul(sum, sum)));
  }
  return f32x4.mul(width, f32x4.max(f32x4.splat(0), f32x4.sub(one, f32x4.mul(width, f32x4.abs(x)))));
}
