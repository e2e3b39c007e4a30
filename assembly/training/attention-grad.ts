import { packBits, paddedRow, wordsOf } from './attention';
import { membraneGradient } from './neuron';
import { clearFloats, firstLanes, loadFloats, storeFloats, sumLanes, transposeBlock } from './simd';
import { listBits, sumRows } from './spikes';

/**
 * Gradient of spiking attention. Every product has a binary factor, so all of them add rows: the gradient of an attention spike
 * a[i, j] is Σ dvalues[i, c] over the channels c of value j that fired; dq[i] adds the columns of the pair gradients whose key
 * fired, dk[j] those whose query fired, dv[j] the rows of dvalues whose attention spike fired.
 *
 * Maps of one head are kept twice, query-major (i, j ≤ i) and key-major (j, i ≥ j), so that each sum runs along contiguous rows.
 */

/** Maps per time step, one transposed map, a (K, L) block of dvalues or of sums, bits and a list. */
export function attentionGradScratchBytes(timeSteps: i32, length: i32, headWidth: i32): usize {
  const row = paddedRow(length);
  const rows = row >> 2;
  const bits = (<usize>wordsOf(max(headWidth, length))) << 3;
  return <usize>(timeSteps + 1) * rows * row + <usize>headWidth * row + bits + ((<usize>max(length, headWidth)) << 2);
}

/** dqkv (T, B, L, 3D), dGain (H), dDistanceBias (H, maxDistance). */
export function attentionGrad(
  dValues: usize, dMeanMap: usize, qkv: usize, gain: usize, membrane: usize, dqkv: usize, dGain: usize, dDistanceBias: usize,
  timeSteps: i32, batch: i32, length: i32, width: i32, heads: i32, maxDistance: i32,
  decay: f32, threshold: f32, reset: i32, surrogate: i32, alpha: f32, detach: bool, scratch: usize,
): void {
  const headWidth = width / heads;
  const map = ((<usize>length * length) << 2);
  const rowV = (<usize>width) << 2;
  const rowQ = rowV * 3;
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
        dMeanMap + pair, membrane + pair, stepU, dDistanceBias + ((<usize>h * maxDistance) << 2),
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

// @ts-ignore: decorator
@inline
function mapAt(scratch: usize, t: i32, length: i32): usize {
  const row = paddedRow(length);
  return scratch + <usize>t * (row >> 2) * row;
}

/** The (K, L) block behind the T + 1 maps, then the bits of one row, then a list. */
// @ts-ignore: decorator
@inline
function channelsAt(scratch: usize, timeSteps: i32, length: i32): usize {
  return mapAt(scratch, timeSteps + 1, length);
}

// @ts-ignore: decorator
@inline
function bitsAt(scratch: usize, timeSteps: i32, length: i32, headWidth: i32): usize {
  return channelsAt(scratch, timeSteps, length) + <usize>headWidth * paddedRow(length);
}

// @ts-ignore: decorator
@inline
function listAt(scratch: usize, timeSteps: i32, length: i32, headWidth: i32): usize {
  return bitsAt(scratch, timeSteps, length, headWidth) + ((<usize>wordsOf(max(headWidth, length))) << 3);
}

/** Query-major maps of ∂loss/∂a through the values, for all time steps; entries of future keys are undefined. */
function spikeGradients(
  dValues: usize, rowV: usize, stepV: usize, v: usize, rowQ: usize, stepQ: usize, timeSteps: i32, length: i32, headWidth: i32, scratch: usize,
): void {
  const row = paddedRow(length);
  const padded = <i32>(row >> 2);
  const words = wordsOf(headWidth);
  const keyMajor = mapAt(scratch, timeSteps, length);
  const channels = channelsAt(scratch, timeSteps, length);
  const bits = bitsAt(scratch, timeSteps, length, headWidth);
  const list = listAt(scratch, timeSteps, length, headWidth);
  memory.fill(channels, 0, <usize>headWidth * row);
  memory.fill(keyMajor, 0, <usize>padded * row);
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

/** Replaces the maps of ∂loss/∂a by those of ∂loss/∂I, 0 for future keys, and adds up ∂loss/∂(distance bias). */
function neuronGradients(
  dMeanMap: usize, membrane: usize, stepU: usize, dDistanceBias: usize, timeSteps: i32, length: i32,
  decay: f32, threshold: f32, reset: i32, surrogate: i32, alpha: f32, detach: bool, scratch: usize,
): void {
  const row = paddedRow(length);
  const mapBytes = (row >> 2) * row;
  // The transposed map is not in use here; its first row serves the distance sums: distance d is at length − 1 − d.
  const distances = mapAt(scratch, timeSteps, length);
  const decays = f32x4.splat(decay), thresholds = f32x4.splat(threshold), steps = f32x4.splat(<f32>timeSteps);
  memory.fill(distances, 0, 2 * row + 16);
  for (let i = 0; i < length; i++) {
    const rowAt = (<usize>i * length) << 2;
    for (let j = 0; j <= i; j += 4) {
      const at = (<usize>j) << 2;
      const lanes = i + 1 - j;
      const causal = firstLanes(lanes);
      const fromMean = f32x4.div(loadFloats(dMeanMap + rowAt + at, lanes), steps);
      let entry = scratch + <usize>(timeSteps - 1) * mapBytes + <usize>i * row + at;
      let u = membrane + <usize>(timeSteps - 1) * stepU + rowAt + at;
      let later = f32x4.splat(0), sum = later;
      for (let t = timeSteps - 1; t >= 0; t--) {
        const ds = f32x4.add(v128.load(entry), fromMean);
        later = membraneGradient(ds, loadFloats(u, lanes), later, decays, thresholds, reset, surrogate, alpha, detach);
        later = v128.and(later, causal);
        v128.store(entry, later);
        sum = f32x4.add(sum, later);
        entry -= mapBytes;
        u -= stepU;
      }
      const into = distances + ((<usize>(length - 1 - i + j)) << 2);
      v128.store(into, f32x4.add(v128.load(into), sum));
    }
  }
  for (let d = 0; d < length; d++) {
    const at = dDistanceBias + ((<usize>d) << 2);
    store<f32>(at, load<f32>(at) + load<f32>(distances + ((<usize>(length - 1 - d)) << 2)));
  }
}

/** Gradients of queries and keys; returns that of the gain, Σ q·(Σ_j ∂I k_j). */
function queryKeyGradients(
  q: usize, dq: usize, rowV: usize, rowQ: usize, stepQ: usize, gain: f32, timeSteps: i32, length: i32, headWidth: i32, scratch: usize,
): f64 {
  const row = paddedRow(length);
  const padded = <i32>(row >> 2);
  const words = wordsOf(headWidth);
  const keyMajor = mapAt(scratch, timeSteps, length);
  const sums = channelsAt(scratch, timeSteps, length);
  const bits = bitsAt(scratch, timeSteps, length, headWidth);
  const list = listAt(scratch, timeSteps, length, headWidth);
  let gainGradient: f64 = 0;
  for (let t = 0; t < timeSteps; t++) {
    const queryMajor = mapAt(scratch, t, length);
    const step = <usize>t * stepQ;
    transposeLower(queryMajor, keyMajor, row, padded, true);
    memory.fill(sums, 0, <usize>headWidth * row);
    for (let j = 0; j < length; j++) {
      packBits(q + rowV + step + <usize>j * rowQ, rowQ, 1, headWidth, bits);
      const from = (<usize>(j & ~3)) << 2;
      addToListed(list, listWords(bits, words, row, list), sums + from, keyMajor + <usize>j * row + from, padded - (j & ~3));
    }
    transposeBlock(sums, row, dq + step, rowQ, headWidth, length);
    gainGradient += scaleRows(dq + step, q + step, rowQ, gain, length, headWidth);
    memory.fill(sums, 0, <usize>headWidth * row);
    for (let i = 0; i < length; i++) {
      packBits(q + step + <usize>i * rowQ, rowQ, 1, headWidth, bits);
      addToListed(list, listWords(bits, words, row, list), sums, queryMajor + <usize>i * row, (i & ~3) + 4);
    }
    transposeBlock(sums, row, dq + rowV + step, rowQ, headWidth, length);
    scaleRows(dq + rowV + step, q + step, rowQ, gain, length, headWidth);
  }
  return gainGradient;
}

/** dv[j] = Σ dvalues[i] over the queries i whose attention spike on j fired. */
function valueGradients(
  dValues: usize, rowV: usize, stepV: usize, membrane: usize, stepU: usize, dv: usize, rowQ: usize, stepQ: usize,
  timeSteps: i32, length: i32, headWidth: i32, threshold: f32, scratch: usize,
): void {
  const list = listAt(scratch, timeSteps, length, headWidth);
  for (let t = 0; t < timeSteps; t++) {
    for (let j = 0; j < length; j++) clearFloats(dv + <usize>t * stepQ + <usize>j * rowQ, headWidth);
    for (let i = 0; i < length; i++) {
      const count = listAbove(membrane + <usize>t * stepU + ((<usize>i * length) << 2), i + 1, threshold, rowQ, list);
      addToListed(list, count, dv + <usize>t * stepQ, dValues + <usize>t * stepV + <usize>i * rowV, headWidth);
    }
  }
}

/** Writes index·stride of every membrane that reached the threshold to `list`; returns how many. */
function listAbove(membrane: usize, n: i32, threshold: f32, stride: usize, list: usize): i32 {
  const start = list;
  const thresholds = f32x4.splat(threshold);
  for (let j = 0; j < n; j += 4) {
    const reached = v128.and(f32x4.ge(loadFloats(membrane + ((<usize>j) << 2), n - j), thresholds), firstLanes(n - j));
    const bits = <u64>i32x4.bitmask(reached);
    if (bits != 0) list = listBits(bits, <usize>j * stride, stride, list);
  }
  return <i32>((list - start) >> 2);
}

function listWords(bits: usize, words: i32, stride: usize, list: usize): i32 {
  let end = list;
  for (let word = 0; word < words; word++) {
    end = listBits(load<u64>(bits + ((<usize>word) << 3)), (<usize>(word << 6)) * stride, stride, end);
  }
  return <i32>((end - list) >> 2);
}

/** Adds `source` to every listed row, `width` floats. */
function addToListed(list: usize, count: i32, rows: usize, source: usize, width: i32): void {
  const whole = width & ~3;
  for (let n = 0; n < count; n++) {
    const into = rows + <usize>load<u32>(list + ((<usize>n) << 2));
    for (let c = 0; c < whole; c += 4) {
      const at = (<usize>c) << 2;
      v128.store(into + at, f32x4.add(v128.load(into + at), v128.load(source + at)));
    }
    if (whole < width) {
      const at = (<usize>whole) << 2;
      storeFloats(into + at, f32x4.add(loadFloats(into + at, width - whole), loadFloats(source + at, width - whole)), width - whole);
    }
  }
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
