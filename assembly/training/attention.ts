import { addRowSquares, leastFiring, lossOf, SQUARES_BYTES } from './map-loss';
import { carriedMembrane, fire, RESET_SOFT } from './neuron';
import { clearFloats, firstLanes, loadFloats, storeFloats } from './simd';
import { firedBits, listBits, sumRows } from './spikes';

/**
 * Softmax-free spiking attention: overlap counts of binary queries and keys by AND and population count, one LIF neuron per
 * causal pair, and the value rows of the keys that fired. Layouts: qkv (T, B, L, 3D), membrane (T, B, H, L, L).
 */

/** Words of 64 bits one head's query or key takes. */
// @ts-ignore: decorator
@inline
export function wordsOf(headWidth: i32): i32 {
  return (headWidth + 63) >> 6;
}

/** A row of `length` floats rounded up to whole vectors, in bytes. */
// @ts-ignore: decorator
@inline
export function paddedRow(length: i32): usize {
  return (<usize>((length + 3) & ~3)) << 2;
}

/** Scratch: sums of squares, key bits (T, L, words) u64, one query, overlaps (T, L), reversed distance bias, fired bits (T, L), a list, a row of the mean map. */
export function attentionScratchBytes(timeSteps: i32, length: i32, headWidth: i32): usize {
  const row = paddedRow(length);
  const words = <usize>wordsOf(headWidth);
  const firedWords = <usize>((length + 63) >> 6);
  return ((<usize>(timeSteps * length + 1) * words) << 3) + ((<usize>timeSteps * firedWords) << 3) + <usize>(timeSteps + 3) * row + 16 + SQUARES_BYTES;
}

/** Spikes of all B·H·L queries → their share of the causal pairs and time steps. */
// @ts-ignore: decorator
@inline
export function densityFactor(timeSteps: i32, batch: i32, heads: i32, length: i32): f32 {
  return <f32>(2.0 / (<f64>timeSteps * <f64>batch * <f64>heads * <f64>length * <f64>(length + 1)));
}

/**
 * values (T, B, L, D), meanMap (B, H, L, L), counts (B, H, L), density (1) and membrane from qkv, gain (H) and distanceBias (H, maxDistance). With a target
 * (B, H, L, L), 0 beyond the diagonal, the loss of the mean map against it, and no map (`meanMap` 0); else `target` is 0.
 */
export function attention(
  qkv: usize, gain: usize, distanceBias: usize, target: usize, values: usize, meanMap: usize, loss: usize, counts: usize, density: usize, membrane: usize,
  timeSteps: i32, batch: i32, length: i32, width: i32, heads: i32, maxDistance: i32,
  decay: f32, threshold: f32, reset: i32, rateFactor: f32, factor: f32, scratch: usize,
): void {
  const headWidth = width / heads;
  const map = ((<usize>length * length) << 2);
  const rowV = (<usize>width) << 2;
  const rowQ = rowV * 3;
  let total: i64 = 0;
  memory.fill(scratch, 0, SQUARES_BYTES);
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const head = ((<usize>h * headWidth) << 2);
      const sequence = <usize>b * length;
      total += attendHead(
        qkv + sequence * rowQ + head, rowQ, <usize>batch * length * rowQ, rowV,
        load<f32>(gain + ((<usize>h) << 2)), distanceBias + ((<usize>h * maxDistance) << 2),
        values + sequence * rowV + head, <usize>batch * length * rowV,
        target == 0 ? 0 : target + <usize>(b * heads + h) * map, meanMap == 0 ? 0 : meanMap + <usize>(b * heads + h) * map, counts + ((<usize>(b * heads + h) * length) << 2), membrane + <usize>(b * heads + h) * map, <usize>(batch * heads) * map,
        timeSteps, length, headWidth, decay, threshold, reset, scratch,
      );
    }
  }
  store<f32>(density, <f32>total * densityFactor(timeSteps, batch, heads, length));
  if (target != 0) store<f32>(loss, lossOf(scratch, rateFactor, factor));
}

/** One head of one sequence; `step…` are the distances in bytes between time steps. Returns how many attention spikes there were. */
function attendHead(
  q: usize, rowQ: usize, stepQ: usize, rowV: usize, gain: f32, distanceBias: usize,
  values: usize, stepV: usize, target: usize, meanMap: usize, counts: usize, membrane: usize, stepU: usize,
  timeSteps: i32, length: i32, headWidth: i32, decay: f32, threshold: f32, reset: i32, scratch: usize,
): i64 {
  const words = wordsOf(headWidth);
  const row = paddedRow(length);
  const firedWords = (length + 63) >> 6;
  const keys = scratch + SQUARES_BYTES;
  const query = keys + ((<usize>(timeSteps * length * words)) << 3);
  const fired = query + ((<usize>words) << 3);
  const overlaps = fired + ((<usize>(timeSteps * firedWords)) << 3);
  const biases = overlaps + <usize>timeSteps * row;
  const list = biases + row + 16;
  const meanRow = list + row;
  const least = leastFiring(timeSteps, decay, threshold);
  for (let t = 0; t < timeSteps; t++) {
    packBits(q + <usize>t * stepQ + rowV, rowQ, length, headWidth, keys + ((<usize>(t * length * words)) << 3));
  }
  reverse(distanceBias, biases, length);
  let total: i64 = 0;
  for (let i = 0; i < length; i++) {
    for (let t = 0; t < timeSteps; t++) {
      packBits(q + <usize>t * stepQ + <usize>i * rowQ, rowQ, 1, headWidth, query);
      countOverlaps(query, keys + ((<usize>(t * length * words)) << 3), i + 1, words, overlaps + <usize>t * row);
    }
    clearFloats(fired, timeSteps * firedWords * 2);
    const rowAt = (<usize>i * length) << 2;
    chargeRow(
      overlaps, row, biases + ((<usize>(length - 1 - i)) << 2), gain, membrane + rowAt, stepU, meanMap == 0 ? meanRow : meanMap + rowAt, fired, firedWords,
      timeSteps, i, length, decay, threshold, reset,
    );
    if (target != 0) addRowSquares(meanRow, target + rowAt, scratch, i, length, timeSteps, decay, threshold, reset, least);
    let count = 0;
    for (let t = 0; t < timeSteps; t++) {
      let end = list;
      for (let word = 0; word <= i >> 6; word++) {
        end = listBits(load<u64>(fired + ((<usize>(t * firedWords + word)) << 3)), <usize>(word << 6) * rowQ, rowQ, end);
      }
      const keysFired = <i32>((end - list) >> 2);
      sumRows(list, keysFired, q + <usize>t * stepQ + 2 * rowV, 0, values + <usize>t * stepV + <usize>i * rowV, headWidth);
      count += keysFired;
    }
    store<f32>(counts + ((<usize>i) << 2), <f32>count);
    total += count;
  }
  return total;
}

/** Bits of `rows` rows of `width` spikes, whole words per row. */
export function packBits(from: usize, stride: usize, rows: i32, width: i32, to: usize): void {
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < width; c += 64) {
      store<u64>(to, firedBits(from + ((<usize>c) << 2), min(64, width - c)));
      to += 8;
    }
    from += stride;
  }
}

/** counts[j] = |query AND key j| for the first n keys, as int32. */
function countOverlaps(query: usize, keys: usize, n: i32, words: i32, counts: usize): void {
  if (words == 1) {
    const bits = load<u64>(query);
    for (let j = 0; j < n; j++) {
      store<i32>(counts, <i32>popcnt(bits & load<u64>(keys)));
      counts += 4;
      keys += 8;
    }
    return;
  }
  for (let j = 0; j < n; j++) {
    let count: u64 = 0;
    for (let word = 0; word < words; word++) {
      count += popcnt(load<u64>(query + ((<usize>word) << 3)) & load<u64>(keys));
      keys += 8;
    }
    store<i32>(counts, <i32>count);
    counts += 4;
  }
}

/** to[x] = from[n − 1 − x], so that the bias of key j at distance i − j is at x = (n − 1 − i) + j. */
export function reverse(from: usize, to: usize, n: i32): void {
  for (let x = 0; x < n; x++) store<f32>(to + ((<usize>x) << 2), load<f32>(from + ((<usize>(n - 1 - x)) << 2)));
}

/** The neurons of query i: membranes of all time steps, mean of their spikes, and the spikes as bits. Future keys get 0. */
function chargeRow(
  overlaps: usize, rowC: usize, bias: usize, gain: f32, membrane: usize, stepU: usize, meanMap: usize, fired: usize, firedWords: i32,
  timeSteps: i32, i: i32, length: i32, decay: f32, threshold: f32, reset: i32,
): void {
  // The usual neuron is compiled for itself.
  if (reset == RESET_SOFT) chargeKeys(overlaps, rowC, bias, gain, membrane, stepU, meanMap, fired, firedWords, timeSteps, i, length, decay, threshold, RESET_SOFT);
  else chargeKeys(overlaps, rowC, bias, gain, membrane, stepU, meanMap, fired, firedWords, timeSteps, i, length, decay, threshold, reset);
  const done = (i & ~3) + 4;
  if (done >= length) return;
  const at = (<usize>done) << 2;
  clearFloats(meanMap + at, length - done);
  for (let t = 0; t < timeSteps; t++) clearFloats(membrane + <usize>t * stepU + at, length - done);
}

// @ts-ignore: decorator
@inline
function chargeKeys(
  overlaps: usize, rowC: usize, bias: usize, gain: f32, membrane: usize, stepU: usize, meanMap: usize, fired: usize, firedWords: i32,
  timeSteps: i32, i: i32, length: i32, decay: f32, threshold: f32, reset: i32,
): void {
  const decays = f32x4.splat(decay), thresholds = f32x4.splat(threshold), gains = f32x4.splat(gain);
  const steps = f32x4.splat(<f32>timeSteps);
  for (let j = 0; j <= i; j += 4) {
    const at = (<usize>j) << 2;
    const lanes = length - j;
    const causal = firstLanes(i + 1 - j);
    const biases = loadFloats(bias + at, i + 1 - j);
    let carried = f32x4.splat(0), sum = carried;
    for (let t = 0; t < timeSteps; t++) {
      const current = f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(v128.load(overlaps + <usize>t * rowC + at)), gains), biases);
      const u = v128.and(f32x4.add(current, carried), causal);
      const s = v128.and(fire(u, thresholds), causal);
      storeFloats(membrane + <usize>t * stepU + at, u, lanes);
      const word = fired + ((<usize>(t * firedWords + (j >> 6))) << 3);
      store<u64>(word, load<u64>(word) | ((<u64>i32x4.bitmask(f32x4.ne(s, f32x4.splat(0)))) << (j & 63)));
      sum = f32x4.add(sum, s);
      carried = carriedMembrane(u, s, decays, thresholds, reset);
    }
    storeFloats(meanMap + at, f32x4.div(sum, steps), lanes);
  }
}
