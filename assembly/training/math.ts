import { multiplyAdd } from './simd';

/** 1.5·2²³: adding it to |x| < 2²² rounds x to an integer, which then stands in the low bits. */
const ROUNDER: f32 = 12582912;

/**
 * exp of four floats: x = n·ln 2 + r with |r| ≤ ln 2 / 2, a polynomial of degree 6 in r fitted for the smallest relative error
 * (3e-9), scaled by 2ⁿ in two halves so that results down to the smallest denormal and up to overflow are right. Relative error
 * below 2.5e-7 (two units in the last place) on normal results; exp(±∞) and NaN as in IEEE arithmetic.
 */
// @ts-ignore: decorator
@inline
export function exp4(x: v128): v128 {
  const bounded = f32x4.pmin(f32x4.pmax(x, f32x4.splat(-104)), f32x4.splat(89));
  const shifted = multiplyAdd(bounded, f32x4.splat(1.44269504), f32x4.splat(ROUNDER));
  const n = f32x4.sub(shifted, f32x4.splat(ROUNDER));
  // ln 2 as a short and a long part: n times the short one is exact.
  const r = multiplyAdd(n, f32x4.splat(2.12194440e-4), multiplyAdd(n, f32x4.splat(-0.693359375), bounded));
  const whole = i32x4.sub(shifted, f32x4.splat(ROUNDER));
  const half = i32x4.shr_s(whole, 1);
  return f32x4.mul(f32x4.mul(expSmall(r), powerOfTwo(half)), powerOfTwo(i32x4.sub(whole, half)));
}

/** exp(r) for |r| ≤ ln 2 / 2: 1 + r + r²·q(r), q in pairs to keep the chain of operations short. */
// @ts-ignore: decorator
@inline
function expSmall(r: v128): v128 {
  const square = f32x4.mul(r, r);
  const low = multiplyAdd(r, f32x4.splat(0.1666652), f32x4.splat(0.49999993));
  const middle = multiplyAdd(r, f32x4.splat(0.00836875), f32x4.splat(0.04166839));
  const high = multiplyAdd(square, f32x4.splat(0.00138145), middle);
  const q = multiplyAdd(square, high, low);
  return f32x4.add(multiplyAdd(square, q, r), f32x4.splat(1));
}

// @ts-ignore: decorator
@inline
function powerOfTwo(exponent: v128): v128 {
  return i32x4.shl(i32x4.add(exponent, i32x4.splat(127)), 23);
}

/**
 * Natural logarithm of a positive, finite, normal number: x = m·2ᵉ with m in [√½, √2), ln m = 2·artanh((m − 1)/(m + 1)) by its
 * series up to the 21st power; relative error below 1e-13 away from 1.
 */
export function logarithm(x: f64): f64 {
  const bits = reinterpret<u64>(x);
  let exponent = <i32>((bits >> 52) & 0x7ff) - 1023;
  let mantissa = reinterpret<f64>((bits & 0x000fffffffffffff) | 0x3ff0000000000000);
  if (mantissa > 1.4142135623730951) {
    mantissa *= 0.5;
    exponent += 1;
  }
  const z = (mantissa - 1) / (mantissa + 1);
  const square = z * z;
  let series: f64 = 0;
  for (let power = 21; power >= 1; power -= 2) series = series * square + 1.0 / <f64>power;
  return <f64>exponent * 0.6931471805599453 + 2 * z * series;
}
