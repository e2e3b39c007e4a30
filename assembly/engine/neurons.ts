/** Leaky integrate-and-fire neurons through all time steps of a token; learned gains are folded into bias and threshold. */

const RESET_SOFT: i32 = 0;
const RESET_SOFT_LEAKED: i32 = 1;

/** What the membrane u leaves to the next step; `fired` is a mask of all bits. An infinite threshold never fires. */
// @ts-ignore: decorator
@inline
export function carry(u: v128, fired: v128, decay: v128, threshold: v128, reset: i32): v128 {
  if (reset == RESET_SOFT) return f32x4.sub(f32x4.mul(u, decay), v128.and(threshold, fired));
  if (reset == RESET_SOFT_LEAKED) return f32x4.mul(f32x4.sub(u, v128.and(threshold, fired)), decay);
  return v128.andnot(f32x4.mul(u, decay), fired);
}

/** Currents are whole-number sums: I = sum + bias. Returns the number of spikes. */
export function fireInt(
  acc: usize, stride: i32, bias: usize, threshold: usize, from: i32, to: i32, tokens: i32, timeSteps: i32,
  decay: f32, reset: i32, bits: usize, words: i32,
): f64 {
  return <f64>fire(acc, stride, bias, threshold, from, to, tokens, timeSteps, decay, reset, bits, words, true, false);
}

/** Currents are floats: I = x + bias, or bias − x. Returns the number of spikes. */
export function fireFloat(
  x: usize, stride: i32, bias: usize, threshold: usize, negate: i32, from: i32, to: i32, tokens: i32, timeSteps: i32,
  decay: f32, reset: i32, bits: usize, words: i32,
): f64 {
  return <f64>(negate != 0
    ? fire(x, stride, bias, threshold, from, to, tokens, timeSteps, decay, reset, bits, words, false, true)
    : fire(x, stride, bias, threshold, from, to, tokens, timeSteps, decay, reset, bits, words, false, false));
}

// @ts-ignore: decorator
@inline
function fire(
  x: usize, stride: i32, bias: usize, threshold: usize, from: i32, to: i32, tokens: i32, timeSteps: i32,
  decay: f32, reset: i32, bits: usize, words: i32, isInt: bool, negate: bool,
): i64 {
  const decays = f32x4.splat(decay);
  const step = (<usize>stride) << 2;
  let spikes: i64 = 0;
  for (let token = 0; token < tokens; token++) {
    const vector = <usize>(token * timeSteps);
    for (let c = from; c < to; c += 16) {
      const at = (<usize>c) << 2;
      let current = x + vector * step + at;
      let word = bits + ((vector * words) << 3) + ((<usize>c) >> 3);
      const biases = bias + at, thresholds = threshold + at;
      let u0 = f32x4.splat(0), u1 = u0, u2 = u0, u3 = u0;
      for (let t = 0; t < timeSteps; t++) {
        const i0 = currentAt(current, biases, isInt, negate);
        const i1 = currentAt(current + 16, biases + 16, isInt, negate);
        const i2 = currentAt(current + 32, biases + 32, isInt, negate);
        const i3 = currentAt(current + 48, biases + 48, isInt, negate);
        u0 = t == 0 ? i0 : f32x4.add(i0, u0);
        u1 = t == 0 ? i1 : f32x4.add(i1, u1);
        u2 = t == 0 ? i2 : f32x4.add(i2, u2);
        u3 = t == 0 ? i3 : f32x4.add(i3, u3);
        const t0 = v128.load(thresholds), t1 = v128.load(thresholds, 16), t2 = v128.load(thresholds, 32), t3 = v128.load(thresholds, 48);
        const s0 = f32x4.ge(u0, t0), s1 = f32x4.ge(u1, t1), s2 = f32x4.ge(u2, t2), s3 = f32x4.ge(u3, t3);
        const fired = i32x4.bitmask(s0) | (i32x4.bitmask(s1) << 4) | (i32x4.bitmask(s2) << 8) | (i32x4.bitmask(s3) << 12);
        store<u16>(word, <u16>fired);
        spikes += popcnt(fired);
        u0 = carry(u0, s0, decays, t0, reset);
        u1 = carry(u1, s1, decays, t1, reset);
        u2 = carry(u2, s2, decays, t2, reset);
        u3 = carry(u3, s3, decays, t3, reset);
        current += step;
        word += (<usize>words) << 3;
      }
    }
  }
  return spikes;
}

// @ts-ignore: decorator
@inline
function currentAt(x: usize, bias: usize, isInt: bool, negate: bool): v128 {
  let value = v128.load(x);
  if (isInt) value = f32x4.convert_i32x4_s(value);
  return negate ? f32x4.sub(v128.load(bias), value) : f32x4.add(value, v128.load(bias));
}
