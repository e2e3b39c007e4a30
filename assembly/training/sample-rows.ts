import { largestOf, shiftedExp } from './elementwise';
import { logarithm } from './math';
import { highDoubles, lowDoubles, sumDoubles, sumLanes } from './simd';

/** Probabilities that the walk over all of them adds up at a time. */
const BLOCK: i32 = 16;

/**
 * A sparse sample of softmax(logits/temperature) per row, as `src/core/teacher-cache/sample.ts` draws it: ids (rows, slots) and their weights in units of
 * 1/65535, both as floats, and the entropy (rows) of the whole distribution in nats, NaN where a logit is not finite. `uniforms` (rows, 4) holds two
 * numbers of [0, 1), each as the sum of two floats. `scratch` holds n + 4·slots + 4 floats.
 */
export function sampleRows(
  logits: usize, uniforms: usize, ids: usize, units: usize, entropy: usize, rows: i32, n: i32, slots: i32, temperature: f32, scratch: usize,
): void {
  const weights = scratch + ((<usize>((n + 3) & ~3)) << 2), top = weights + ((<usize>slots) << 3), chances = top + ((<usize>slots) << 2);
  const count = min(slots, n);
  for (let r = 0; r < rows; r++) {
    const largest = largestOf(logits, n);
    shiftedExp(logits, scratch, n, largest, temperature);
    const total = sumOf(scratch, n);
    for (let slot = 0; slot < slots; slot++) place(ids, weights, slot, 0, 0);
    let nats: f64 = NaN;
    if (total > 0 && total < Infinity) {
      nats = logarithm(total) - meanOf(logits, scratch, n, largest, temperature) / total;
      likeliest(scratch, n, count, top, chances);
      const u = <f64>load<f32>(uniforms) + <f64>load<f32>(uniforms, 4);
      choose(scratch, n, slots, count, total, u, top, chances, ids, weights);
    }
    roundWeights(weights, units, slots, <f64>load<f32>(uniforms, 8) + <f64>load<f32>(uniforms, 12));
    store<f32>(entropy + ((<usize>r) << 2), <f32>nats);
    logits += (<usize>n) << 2;
    uniforms += 16;
    ids += (<usize>slots) << 2;
    units += (<usize>slots) << 2;
  }
}

function sumOf(x: usize, n: i32): f64 {
  let low = f64x2.splat(0), high = low;
  const whole = x + ((<usize>(n & ~3)) << 2);
  while (x < whole) {
    const value = v128.load(x);
    low = f64x2.add(low, lowDoubles(value));
    high = f64x2.add(high, highDoubles(value));
    x += 16;
  }
  let total = sumDoubles(f64x2.add(low, high));
  for (let i = n & ~3; i < n; i++, x += 4) total += <f64>load<f32>(x);
  return total;
}

/** Σ e·(x − shift)/temperature, runs of 256 added up in float64. */
function meanOf(x: usize, e: usize, n: i32, shift: f32, temperature: f32): f64 {
  const shifts = f32x4.splat(shift);
  let total: f64 = 0;
  let i = 0;
  while (i + 4 <= n) {
    const end = min(i + 256, n & ~3);
    let sum = f32x4.splat(0);
    for (; i < end; i += 4) {
      const at = (<usize>i) << 2;
      sum = f32x4.add(sum, f32x4.mul(f32x4.sub(v128.load(x + at), shifts), v128.load(e + at)));
    }
    total += <f64>sumLanes(sum);
  }
  for (; i < n; i++) {
    const at = (<usize>i) << 2;
    total += <f64>((load<f32>(x + at) - shift) * load<f32>(e + at));
  }
  return total / <f64>temperature;
}

/** The `count` likeliest ids in order, of equals the lower one, and their chances. */
function likeliest(p: usize, n: i32, count: i32, ids: usize, chances: usize): void {
  // Of sixteen chances of sixteen ids, `count` are at least as large as the one in that place, so that it is no use to look at smaller ones.
  let least: f32 = -1;
  if (count <= 16 && n >= 64) {
    reset(count, chances);
    least = leastOfMaxima(p, n, count, ids, chances);
  }
  reset(count, chances);
  for (let i = 0; i < n; i += 4) {
    const at = p + ((<usize>i) << 2);
    const lanes = min(4, n - i);
    if (lanes == 4 && !v128.any_true(f32x4.gt(v128.load(at), f32x4.splat(least)))) continue;
    for (let lane = 0; lane < lanes; lane++) {
      const chance = load<f32>(at + ((<usize>lane) << 2));
      if (chance > least) least = max(least, insert(chance, i + lane, count, ids, chances));
    }
  }
}

function reset(count: i32, chances: usize): void {
  for (let slot = 0; slot < count; slot++) store<f32>(chances + ((<usize>slot) << 2), -1);
}

/** Just below the `count`-th largest of the maxima of sixteen interleaved parts. Writes over ids and chances. */
function leastOfMaxima(p: usize, n: i32, count: i32, ids: usize, chances: usize): f32 {
  let a = v128.load(p), b = v128.load(p, 16), c = v128.load(p, 32), d = v128.load(p, 48);
  for (let i = 16; i + 16 <= n; i += 16) {
    const at = p + ((<usize>i) << 2);
    a = f32x4.pmax(a, v128.load(at));
    b = f32x4.pmax(b, v128.load(at, 16));
    c = f32x4.pmax(c, v128.load(at, 32));
    d = f32x4.pmax(d, v128.load(at, 48));
  }
  const least = insertLanes(d, count, ids, chances, insertLanes(c, count, ids, chances, insertLanes(b, count, ids, chances, insertLanes(a, count, ids, chances, -1))));
  return least > 0 ? reinterpret<f32>(reinterpret<i32>(least) - 1) : -1;
}

function insertLanes(lanes: v128, count: i32, ids: usize, chances: usize, least: f32): f32 {
  if (f32x4.extract_lane(lanes, 0) > least) least = insert(f32x4.extract_lane(lanes, 0), 0, count, ids, chances);
  if (f32x4.extract_lane(lanes, 1) > least) least = insert(f32x4.extract_lane(lanes, 1), 0, count, ids, chances);
  if (f32x4.extract_lane(lanes, 2) > least) least = insert(f32x4.extract_lane(lanes, 2), 0, count, ids, chances);
  if (f32x4.extract_lane(lanes, 3) > least) least = insert(f32x4.extract_lane(lanes, 3), 0, count, ids, chances);
  return least;
}

/** Puts an id in its place, before less likely ones. @returns the least chance held. */
function insert(chance: f32, id: i32, count: i32, ids: usize, chances: usize): f32 {
  let at = (<usize>(count - 1)) << 2;
  while (at > 0 && load<f32>(chances + at - 4) < chance) {
    store<f32>(chances + at, load<f32>(chances + at - 4));
    store<i32>(ids + at, load<i32>(ids + at - 4));
    at -= 4;
  }
  store<f32>(chances + at, chance);
  store<i32>(ids + at, id);
  return load<f32>(chances + ((<usize>(count - 1)) << 2));
}

/**
 * Ids that are more likely than an equal share of what the likelier ones leave are certain; the points (u + j)·step on the cumulated chances of the others
 * choose the rest. Overwrites the chances of certain ids.
 */
function choose(p: usize, n: i32, slots: i32, count: i32, total: f64, u: f64, top: usize, chances: usize, ids: usize, weights: usize): void {
  let rest = total;
  let certain = 0;
  while (certain < count) {
    const chance = <f64>load<f32>(chances + ((<usize>certain) << 2));
    if (chance <= rest / <f64>(slots - certain)) break;
    const id = load<i32>(top + ((<usize>certain) << 2));
    place(ids, weights, certain++, id, chance);
    store<f32>(p + ((<usize>id) << 2), 0);
    rest -= chance;
  }
  if (certain == slots) return;
  const step = rest / <f64>(slots - certain);
  if (!(step > 0)) return;
  let slot = certain, start = 0;
  let cumulated: f64 = 0, point = u * step;
  while (start < n) {
    const size = min(BLOCK, n - start);
    const sum = sumOf(p + ((<usize>start) << 2), size);
    if (point >= cumulated + sum) {
      cumulated += sum;
      start += size;
      continue;
    }
    for (let id = start; id < start + size; id++) {
      cumulated += <f64>load<f32>(p + ((<usize>id) << 2));
      if (point >= cumulated) continue;
      place(ids, weights, slot++, id, step);
      if (slot == slots) return;
      point = (u + <f64>(slot - certain)) * step;
    }
    start += size;
  }
}

// @ts-ignore: decorator
@inline
function place(ids: usize, weights: usize, slot: i32, id: i32, weight: f64): void {
  store<f32>(ids + ((<usize>slot) << 2), <f32>id);
  store<f64>(weights + ((<usize>slot) << 3), weight);
}

/** Weights as whole units that sum to 65535, right on average; zeros where there are none. */
function roundWeights(weights: usize, units: usize, slots: i32, u: f64): void {
  let total: f64 = 0;
  for (let slot = 0; slot < slots; slot++) total += load<f64>(weights + ((<usize>slot) << 3));
  let cumulated: f64 = 0, before: f64 = 0;
  for (let slot = 0; slot < slots; slot++) {
    cumulated += load<f64>(weights + ((<usize>slot) << 3));
    const after = total > 0 ? Math.floor(65535 * (cumulated / total) + u) : 0;
    store<f32>(units + ((<usize>slot) << 2), <f32>(after - before));
    before = after;
  }
}
