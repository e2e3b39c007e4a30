import { densityFactor, packBits, wordsOf } from './attention';
import { bitsAt, channelsAt, countsAt, listsAt, mapAt, paddedLength, rowBytes, startsAt, STRIPE, stripesOf } from './attention-grad-layout';
import { leastFiring, storeRowSlopes } from './map-loss';
import { membraneGradient, RESET_SOFT, SURROGATE_ATAN } from './neuron';
import { clearFloats, firstLanes, loadFloats, storeFloats, sumLanes, transposeBlock } from './simd';
import { listBits, reachedBits, sumRows, sumRows32 } from './spikes';

/**
 * Gradient of spiking attention. Every product has a binary factor, so all of them add rows: the gradient of an attention spike
 * a[i, j] is Σ dvalues[i, c] over the channels c of value j that fired; dq[i] adds the pair gradients of the keys whose channel
 * fired, dk[j] those of the queries, dv[j] the rows of dvalues whose attention spike fired.
 *
 * Maps of one head are kept twice, query-major (i, j ≤ i) and key-major (j, i ≥ j), so that each sum runs along contiguous rows, a stripe
 * of it in registers. What lies beyond the diagonal is 0.
 */

/** dqkv (T, B, L, 3D), dGain (H), dDistanceBias (H, maxDistance). dMeanMap, dCounts, dDensity and dLoss (with its target) are 0 where nothing depends on these outputs. */
export function attentionGrad(
  dValues: usize, dMeanMap: usize, dLoss: usize, dCounts: usize, dDensity: usize, target: usize, qkv: usize, gain: usize, membrane: usize, dqkv: usize, dGain: usize, dDistanceBias: usize,
  timeSteps: i32, batch: i32, length: i32, width: i32, heads: i32, maxDistance: i32,
  decay: f32, threshold: f32, reset: i32, surrogate: i32, alpha: f32, detach: bool, rateFactor: f32, factor: f32, scratch: usize,
): void {
  const headWidth = width / heads;
  const map = ((<usize>length * length) << 2);
  const rowV = (<usize>width) << 2;
  const rowQ = rowV * 3;
  const ofEvery: f32 = dDensity == 0 ? 0 : load<f32>(dDensity) * densityFactor(timeSteps, batch, heads, length);
  const rateSlope: f32 = dLoss == 0 ? 0 : load<f32>(dLoss) * (2 * rateFactor), slope: f32 = dLoss == 0 ? 0 : load<f32>(dLoss) * (2 * factor);
  memory.fill(scratch, 0, mapAt(0, timeSteps + 1, length));
  memory.fill(dGain, 0, (<usize>heads) << 2);
  memory.fill(dDistanceBias, 0, (<usize>heads * maxDistance) << 2);
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const head = (<usize>h * headWidth) << 2;
      const sequence = <usize>b * length;
      const pair = <usize>(b * heads + h) * map;
      const at = sequence * rowQ + head;
      const out = sequence * rowV + head;
      const stepQ = <usize>batch * length * rowQ, stepV = <usize>batch * length * rowV, stepU = <usize>(batch * heads) * map;
      spikeGradients(dValues + out, rowV, stepV, qkv + at + 2 * rowV, rowQ, stepQ, timeSteps, length, headWidth, scratch);
      neuronGradients(
        dMeanMap == 0 ? 0 : dMeanMap + pair, dLoss == 0 ? 0 : target + pair, rateSlope, slope, dCounts == 0 ? 0 : dCounts + ((<usize>(b * heads + h) * length) << 2), ofEvery, membrane + pair, stepU, dDistanceBias + ((<usize>h * maxDistance) << 2),
        timeSteps, length, decay, threshold, reset, surrogate, alpha, detach, scratch,
      );
      const gainAt = (<usize>h) << 2;
      const gainGradient = queryKeyGradients(
        qkv + at, dqkv + at, rowV, rowQ, stepQ, load<f32>(gain + gainAt), timeSteps, length, headWidth, scratch,
      );
      store<f32>(dGain + gainAt, load<f32>(dGain + gainAt) + <f32>gainGradient);
      valueGradients(
        dValues + out, rowV, stepV, membrane + pair, stepU, dqkv + at + 2 * rowV, rowQ, stepQ,
        timeSteps, length, headWidth, threshold, scratch,
      );
    }
  }
}

/** Query-major maps of ∂loss/∂a through the values, for all time steps; entries of future keys are undefined. */
function spikeGradients(
  dValues: usize, rowV: usize, stepV: usize, v: usize, rowQ: usize, stepQ: usize, timeSteps: i32, length: i32, headWidth: i32, scratch: usize,
): void {
  const row = rowBytes(length);
  const padded = paddedLength(length);
  const words = wordsOf(headWidth);
  const keyMajor = mapAt(scratch, timeSteps, length);
  const channels = channelsAt(scratch, timeSteps, length);
  const bits = bitsAt(scratch, timeSteps, length, headWidth);
  const list = listsAt(scratch, timeSteps, length, headWidth);
  memory.fill(channels, 0, <usize>headWidth * row);
  for (let t = 0; t < timeSteps; t++) {
    transposeBlock(dValues + <usize>t * stepV, rowV, channels, row, length, headWidth);
    for (let j = 0; j < length; j++) {
      packBits(v + <usize>t * stepQ + <usize>j * rowQ, rowQ, 1, headWidth, bits);
      const count = listWords(bits, words, row, list);
      const from = (<usize>(j & ~3)) << 2;
      sumRows(list, count, channels + from, 0, keyMajor + <usize>j * row + from, padded - (j & ~3));
    }
    transposeLower(keyMajor, mapAt(scratch, t, length), row, padded, false);
  }
}

/**
 * Completes the maps of ∂loss/∂a by what comes from the mean map, from its comparison with a target, from the counts, and `ofEvery`; replaces them by those of
 * ∂loss/∂I, 0 for future keys, and adds up ∂loss/∂(distance bias).
 */
function neuronGradients(
  dMeanMap: usize, target: usize, rateSlope: f32, slope: f32, dCounts: usize, ofEvery: f32, membrane: usize, stepU: usize, dDistanceBias: usize, timeSteps: i32, length: i32,
  decay: f32, threshold: f32, reset: i32, surrogate: i32, alpha: f32, detach: bool, scratch: usize,
): void {
  const row = rowBytes(length);
  const mapBytes = <usize>paddedLength(length) * row;
  // The transposed map is not in use here. Its first rows serve the distance sums: distance d is at length − 1 − d. Its fourth is a row of slopes.
  const distances = mapAt(scratch, timeSteps, length);
  const slopes = distances + 3 * row;
  memory.fill(distances, 0, 2 * row + 16);
  const isUsual = reset == RESET_SOFT && surrogate == SURROGATE_ATAN && detach;
  const least = leastFiring(timeSteps, decay, threshold);
  for (let i = 0; i < length; i++) {
    const rowAt = (<usize>i * length) << 2;
    const u = membrane + rowAt, entries = scratch + <usize>i * row, into = distances + ((<usize>(length - 1 - i)) << 2);
    const ofRow: f32 = dCounts == 0 ? ofEvery : load<f32>(dCounts + ((<usize>i) << 2)) + ofEvery;
    let ofMap: usize = dMeanMap == 0 ? 0 : dMeanMap + rowAt;
    if (target != 0) {
      storeRowSlopes(u, stepU, target + rowAt, slopes, i, length, timeSteps, decay, threshold, reset, least, rateSlope, slope);
      ofMap = slopes;
    }
    // The usual neurons are compiled for themselves.
    if (isUsual) chargedRow(ofMap, ofRow, u, stepU, entries, mapBytes, into, i, timeSteps, decay, threshold, RESET_SOFT, SURROGATE_ATAN, alpha, true);
    else chargedRow(ofMap, ofRow, u, stepU, entries, mapBytes, into, i, timeSteps, decay, threshold, reset, surrogate, alpha, detach);
  }
  for (let d = 0; d < length; d++) {
    const at = dDistanceBias + ((<usize>d) << 2);
    store<f32>(at, load<f32>(at) + load<f32>(distances + ((<usize>(length - 1 - d)) << 2)));
  }
}

/** Query i: all time steps of its row of the maps at `entries`, and its share of the distance sums. `ofMap` is ∂loss/∂(mean map) of the row, or 0. */
// @ts-ignore: decorator
@inline
function chargedRow(
  ofMap: usize, ofRow: f32, membrane: usize, stepU: usize, entries: usize, mapBytes: usize, distances: usize, i: i32, timeSteps: i32,
  decay: f32, threshold: f32, reset: i32, surrogate: i32, alpha: f32, detach: bool,
): void {
  const decays = f32x4.splat(decay), thresholds = f32x4.splat(threshold), steps = f32x4.splat(<f32>timeSteps), ofAll = f32x4.splat(ofRow);
  for (let j = 0; j <= i; j += 4) {
    const at = (<usize>j) << 2;
    const lanes = i + 1 - j;
    const causal = firstLanes(lanes);
    const ofPair = ofMap == 0 ? ofAll : f32x4.add(f32x4.div(loadFloats(ofMap + at, lanes), steps), ofAll);
    let entry = entries + <usize>(timeSteps - 1) * mapBytes + at;
    let u = membrane + <usize>(timeSteps - 1) * stepU + at;
    let later = f32x4.splat(0), sum = later;
    for (let t = timeSteps - 1; t >= 0; t--) {
      const ds = f32x4.add(v128.load(entry), ofPair);
      later = membraneGradient(ds, loadFloats(u, lanes), later, decays, thresholds, reset, surrogate, alpha, detach);
      later = v128.and(later, causal);
      v128.store(entry, later);
      sum = f32x4.add(sum, later);
      entry -= mapBytes;
      u -= stepU;
    }
    const into = distances + at;
    v128.store(into, f32x4.add(v128.load(into), sum));
  }
}

/** Gradients of queries and keys; returns that of the gain, Σ q·(Σ_j ∂I k_j). */
function queryKeyGradients(
  q: usize, dq: usize, rowV: usize, rowQ: usize, stepQ: usize, gain: f32, timeSteps: i32, length: i32, headWidth: i32, scratch: usize,
): f64 {
  const row = rowBytes(length);
  const keyMajor = mapAt(scratch, timeSteps, length);
  const sums = channelsAt(scratch, timeSteps, length);
  let gainGradient: f64 = 0;
  for (let t = 0; t < timeSteps; t++) {
    const queryMajor = mapAt(scratch, t, length);
    const step = <usize>t * stepQ;
    transposeLower(queryMajor, keyMajor, row, paddedLength(length), true);
    listByChannel(q + rowV + step, rowQ, row, timeSteps, length, headWidth, scratch);
    for (let stripe = 0; stripe < stripesOf(length); stripe++) sumStripe(keyMajor, stripe, true, timeSteps, length, headWidth, scratch);
    transposeBlock(sums, row, dq + step, rowQ, headWidth, length);
    gainGradient += scaleRows(dq + step, q + step, rowQ, gain, length, headWidth);
    listByChannel(q + step, rowQ, row, timeSteps, length, headWidth, scratch);
    for (let stripe = 0; stripe < stripesOf(length); stripe++) sumStripe(queryMajor, stripe, false, timeSteps, length, headWidth, scratch);
    transposeBlock(sums, row, dq + rowV + step, rowQ, headWidth, length);
    scaleRows(dq + rowV + step, q + step, rowQ, gain, length, headWidth);
  }
  return gainGradient;
}

/** Per channel the map rows of the tokens in which it fired, ascending, and how many of them come before each stripe. */
function listByChannel(spikes: usize, rowQ: usize, row: usize, timeSteps: i32, length: i32, headWidth: i32, scratch: usize): void {
  const bits = bitsAt(scratch, timeSteps, length, headWidth);
  const lists = listsAt(scratch, timeSteps, length, headWidth);
  const counts = countsAt(scratch, timeSteps, length, headWidth);
  const starts = startsAt(scratch, timeSteps, length, headWidth);
  clearFloats(counts, headWidth);
  for (let i = 0; i < length; i++) {
    if (i % STRIPE == 0) memory.copy(starts + (<usize>(i / STRIPE * headWidth) << 2), counts, (<usize>headWidth) << 2);
    packBits(spikes + <usize>i * rowQ, rowQ, 1, headWidth, bits);
    for (let word = 0; word < wordsOf(headWidth); word++) {
      appendToListed(load<u64>(bits + ((<usize>word) << 3)), word << 6, <u32>(<usize>i * row), lists, (<usize>length) << 2, counts);
    }
  }
}

/** A stripe of the sums (K, L) over the listed rows of a map; of a key-major one rows behind the stripe are all 0 there, of a query-major one those before it. */
function sumStripe(map: usize, stripe: i32, keyMajor: bool, timeSteps: i32, length: i32, headWidth: i32, scratch: usize): void {
  const row = rowBytes(length);
  const at = <usize>stripe * (<usize>STRIPE << 2);
  const starts = startsAt(scratch, timeSteps, length, headWidth);
  const counts = countsAt(scratch, timeSteps, length, headWidth);
  const sums = channelsAt(scratch, timeSteps, length) + at;
  const own = starts + (<usize>(stripe * headWidth) << 2);
  const next = stripe + 1 < stripesOf(length) ? own + ((<usize>headWidth) << 2) : counts;
  for (let c = 0; c < headWidth; c++) {
    const list = listsAt(scratch, timeSteps, length, headWidth) + ((<usize>c * length) << 2);
    const first = keyMajor ? 0 : load<i32>(own + ((<usize>c) << 2));
    const end = load<i32>((keyMajor ? next : counts) + ((<usize>c) << 2));
    sumRows32(list + ((<usize>first) << 2), end - first, map + at, 0, sums + <usize>c * row);
  }
}

/** dv[j] = Σ dvalues[i] over the queries i whose attention spike on j fired, ascending. */
function valueGradients(
  dValues: usize, rowV: usize, stepV: usize, membrane: usize, stepU: usize, dv: usize, rowQ: usize, stepQ: usize,
  timeSteps: i32, length: i32, headWidth: i32, threshold: f32, scratch: usize,
): void {
  const lists = listsAt(scratch, timeSteps, length, headWidth);
  const counts = countsAt(scratch, timeSteps, length, headWidth);
  const listBytes = (<usize>length) << 2;
  for (let t = 0; t < timeSteps; t++) {
    clearFloats(counts, length);
    for (let i = 0; i < length; i++) {
      const row = membrane + <usize>t * stepU + ((<usize>i * length) << 2);
      for (let j = 0; j <= i; j += 64) {
        appendToListed(reachedBits(row + ((<usize>j) << 2), min(64, i + 1 - j), threshold), j, <u32>(<usize>i * rowV), lists, listBytes, counts);
      }
    }
    for (let j = 0; j < length; j++) {
      const count = load<i32>(counts + ((<usize>j) << 2));
      sumRows(lists + <usize>j * listBytes, count, dValues + <usize>t * stepV, 0, dv + <usize>t * stepQ + <usize>j * rowQ, headWidth);
    }
  }
}

/** Appends `entry` to the list of every set bit, that of bit 0 being list `first`. */
// @ts-ignore: decorator
@inline
function appendToListed(bits: u64, first: i32, entry: u32, lists: usize, listBytes: usize, counts: usize): void {
  while (bits != 0) {
    const list = <usize>first + <usize>ctz(bits);
    const counter = counts + (list << 2);
    const count = load<u32>(counter);
    store<u32>(lists + list * listBytes + ((<usize>count) << 2), entry);
    store<u32>(counter, count + 1);
    bits &= bits - 1;
  }
}

function listWords(bits: usize, words: i32, stride: usize, list: usize): i32 {
  let end = list;
  for (let word = 0; word < words; word++) {
    end = listBits(load<u64>(bits + ((<usize>word) << 3)), (<usize>(word << 6)) * stride, stride, end);
  }
  return <i32>((end - list) >> 2);
}

/** Transposes the 4 × 4 blocks on and below the diagonal of a query-major map (`lower`), or on and above it of a key-major one. */
function transposeLower(from: usize, to: usize, row: usize, padded: i32, lower: bool): void {
  for (let r = 0; r < padded; r += 4) {
    const start = lower ? 0 : r;
    const columns = lower ? r + 4 : padded - r;
    const at = <usize>start;
    transposeBlock(from + <usize>r * row + (at << 2), row, to + at * row + ((<usize>r) << 2), row, 4, columns);
  }
}

/** Multiplies rows by the gain; returns Σ over fired entries of `spikes` of the values before. */
function scaleRows(rows: usize, spikes: usize, stride: usize, gain: f32, count: i32, width: i32): f64 {
  const gains = f32x4.splat(gain);
  let total: f64 = 0;
  for (let r = 0; r < count; r++) {
    let sum = f32x4.splat(0);
    for (let c = 0; c < width; c += 4) {
      const at = (<usize>c) << 2;
      const value = loadFloats(rows + at, width - c);
      sum = f32x4.add(sum, f32x4.mul(value, loadFloats(spikes + at, width - c)));
      storeFloats(rows + at, f32x4.mul(value, gains), width - c);
    }
    total += <f64>sumLanes(sum);
    rows += stride;
    spikes += stride;
  }
  return total;
}
