import { carry } from './neurons';
import { addNumbers, addValues, NUMBER_BYTES } from './numbers';

/**
 * Softmax-free spiking attention over a bit-packed cache. A page holds 64 positions of every layer, as 64-bit words
 * (layers, key|value, H, T, words of a head, 64 positions); a session has a table of page addresses.
 */

const PAGE: i32 = 64;

// @ts-ignore: decorator
@inline
function wordsOfHead(headWidth: i32): i32 {
  return (headWidth + 63) >> 6;
}

/** Counts (T, 64) i32, fired words (T), byte counters (64), query words (heads, T, words), numbers (heads, T, words, DIGITS). */
export function attendScratchBytes(timeSteps: i32, headWidth: i32, heads: i32): usize {
  return <usize>timeSteps * (256 + 8 + <usize>(heads * wordsOfHead(headWidth)) * (8 + NUMBER_BYTES)) + 64;
}

/** `count` (at most 64) bits from bit `first` of a row of words. */
// @ts-ignore: decorator
@inline
function bitsAt(row: usize, first: i32, count: i32): u64 {
  const at = row + ((<usize>(first >> 6)) << 3);
  const shift = <u64>(first & 63);
  let bits = load<u64>(at) >> shift;
  if (shift != 0 && (first & 63) + count > 64) bits |= load<u64>(at, 8) << (64 - shift);
  return count == 64 ? bits : bits & ((<u64>1 << <u64>count) - 1);
}

/** Copies key and value bits of new tokens into the pages. */
export function storeHeads(
  bits: usize, words: i32, tokens: i32, timeSteps: i32, start: i32, headFrom: i32, headTo: i32, heads: i32, headWidth: i32, dWords: i32,
  pageTable: usize, layerOffset: usize,
): void {
  const headWords = wordsOfHead(headWidth);
  for (let n = 0; n < tokens; n++) {
    const position = start + n;
    const page = <usize>load<u32>(pageTable + ((<usize>(position / PAGE)) << 2)) + layerOffset;
    for (let kind = 0; kind < 2; kind++) {
      for (let h = headFrom; h < headTo; h++) {
        for (let t = 0; t < timeSteps; t++) {
          const row = bits + ((<usize>((n * timeSteps + t) * words)) << 3);
          for (let w = 0; w < headWords; w++) {
            const word = bitsAt(row, ((kind + 1) * dWords << 6) + h * headWidth + (w << 6), min(64, headWidth - (w << 6)));
            const slot = ((kind * heads + h) * timeSteps + t) * headWords + w;
            store<u64>(page + ((<usize>(slot * PAGE + position % PAGE)) << 3), word);
          }
        }
      }
    }
  }
}

/**
 * sums (vectors, 64·dWords) i32: per channel of these heads how many attended values carry a spike. Returns the attention spikes.
 * A page is read for all heads before the next, since that is how its words follow each other in memory.
 */
export function attend(
  bits: usize, words: i32, tokens: i32, timeSteps: i32, start: i32, headFrom: i32, headTo: i32, heads: i32, headWidth: i32, dWords: i32,
  pageTable: usize, layerOffset: usize, reversed: usize, biasStride: i32, contextLength: i32, thresholds: usize,
  decay: f32, reset: i32, sums: usize, scratch: usize,
): f64 {
  const headWords = wordsOfHead(headWidth);
  const slots = timeSteps * headWords;
  const fired = scratch + ((<usize>(timeSteps * PAGE)) << 2);
  const counters = fired + ((<usize>timeSteps) << 3);
  const queries = counters + 64;
  const numbers = queries + ((<usize>((headTo - headFrom) * slots)) << 3);
  let spikes: i64 = 0;
  for (let n = 0; n < tokens; n++) {
    const i = start + n;
    loadQueries(bits + ((<usize>(n * timeSteps * words)) << 3), words, timeSteps, headFrom, headTo, headWidth, queries);
    memory.fill(numbers, 0, <usize>((headTo - headFrom) * slots) * NUMBER_BYTES);
    for (let first = 0; first <= i; first += PAGE) {
      const valid = min(PAGE, i + 1 - first);
      const page = <usize>load<u32>(pageTable + ((<usize>(first / PAGE)) << 2)) + layerOffset;
      for (let h = headFrom; h < headTo; h++) {
        const keys = page + ((<usize>(h * slots * PAGE)) << 3);
        const values = keys + ((<usize>(heads * slots * PAGE)) << 3);
        const slot = <usize>((h - headFrom) * slots);
        const biases = reversed + ((<usize>(h * biasStride + contextLength - 1 - i + first)) << 2);
        countOverlaps(queries + (slot << 3), keys, timeSteps, headWords, valid, scratch);
        chargePage(scratch, biases, load<f32>(thresholds + ((<usize>h) << 2)), decay, reset, timeSteps, valid, fired);
        for (let t = 0; t < timeSteps; t++) {
          const word = load<u64>(fired + ((<usize>t) << 3)) & (valid == 64 ? ~(<u64>0) : (<u64>1 << <u64>valid) - 1);
          if (word == 0) continue;
          spikes += popcnt(word);
          for (let w = 0; w < headWords; w++) {
            const row = <usize>(t * headWords + w);
            addValues(word, values + row * (<usize>PAGE << 3), numbers + (slot + row) * NUMBER_BYTES);
          }
        }
      }
    }
    storeSums(numbers, timeSteps, headFrom, headTo, headWidth, sums + ((<usize>(n * timeSteps * (dWords << 6))) << 2), dWords << 6, counters);
  }
  return <f64>spikes;
}

/** queries (heads, T, words) := the query bits of one token's heads. */
function loadQueries(bits: usize, words: i32, timeSteps: i32, headFrom: i32, headTo: i32, headWidth: i32, queries: usize): void {
  const headWords = wordsOfHead(headWidth);
  for (let h = headFrom; h < headTo; h++) {
    for (let t = 0; t < timeSteps; t++) {
      for (let w = 0; w < headWords; w++) {
        store<u64>(queries, bitsAt(bits + ((<usize>(t * words)) << 3), h * headWidth + (w << 6), min(64, headWidth - (w << 6))));
        queries += 8;
      }
    }
  }
}

/** sums (T, stride) i32, channels of these heads := the numbers. */
function storeSums(
  numbers: usize, timeSteps: i32, headFrom: i32, headTo: i32, headWidth: i32, sums: usize, stride: i32, counters: usize,
): void {
  const headWords = wordsOfHead(headWidth);
  for (let h = headFrom; h < headTo; h++) {
    for (let t = 0; t < timeSteps; t++) {
      const out = sums + ((<usize>(t * stride + h * headWidth)) << 2);
      clearInts(out, headWidth);
      for (let w = 0; w < headWords; w++) {
        addNumbers(numbers, out + ((<usize>w) << 8), min(64, headWidth - (w << 6)), counters);
        numbers += NUMBER_BYTES;
      }
    }
  }
}

/** counts (T, 64) i32: |query AND key| of the first `valid` positions of a page, rounded up to a multiple of 8. */
function countOverlaps(queries: usize, keys: usize, timeSteps: i32, headWords: i32, valid: i32, counts: usize): void {
  for (let t = 0; t < timeSteps; t++) {
    const into = counts + ((<usize>(t * PAGE)) << 2);
    const row = keys + ((<usize>(t * headWords * PAGE)) << 3);
    countRow(load<u64>(queries + ((<usize>(t * headWords)) << 3)), row, valid, into);
    for (let w = 1; w < headWords; w++) {
      const more = load<u64>(queries + ((<usize>(t * headWords + w)) << 3));
      const next = row + ((<usize>(w * PAGE)) << 3);
      for (let j = 0; j < valid; j++) {
        const at = into + ((<usize>j) << 2);
        store<i32>(at, load<i32>(at) + <i32>popcnt(more & load<u64>(next + ((<usize>j) << 3))));
      }
    }
  }
}

/** Eight positions a turn: a turn's own cost would be more than half of the work for one. */
function countRow(query: u64, row: usize, valid: i32, into: usize): void {
  const end = into + ((<usize>valid) << 2);
  while (into < end) {
    store<i32>(into, <i32>popcnt(query & load<u64>(row)));
    store<i32>(into, <i32>popcnt(query & load<u64>(row, 8)), 4);
    store<i32>(into, <i32>popcnt(query & load<u64>(row, 16)), 8);
    store<i32>(into, <i32>popcnt(query & load<u64>(row, 24)), 12);
    store<i32>(into, <i32>popcnt(query & load<u64>(row, 32)), 16);
    store<i32>(into, <i32>popcnt(query & load<u64>(row, 40)), 20);
    store<i32>(into, <i32>popcnt(query & load<u64>(row, 48)), 24);
    store<i32>(into, <i32>popcnt(query & load<u64>(row, 56)), 28);
    row += 64;
    into += 32;
  }
}

/** One neuron per position, eight at a time; `fired` (T) words, bits beyond `valid` undefined. */
// @ts-ignore: decorator
@inline
function chargePage(
  counts: usize, biases: usize, threshold: f32, decay: f32, reset: i32, timeSteps: i32, valid: i32, fired: usize,
): void {
  const thresholds = f32x4.splat(threshold), decays = f32x4.splat(decay);
  for (let t = 0; t < timeSteps; t++) store<u64>(fired + ((<usize>t) << 3), 0);
  for (let j = 0; j < valid; j += 8) {
    const at = (<usize>j) << 2;
    const r0 = v128.load(biases + at), r1 = v128.load(biases + at, 16);
    let u0 = f32x4.splat(0), u1 = u0;
    let count = counts + at;
    let byte = fired + ((<usize>j) >> 3);
    for (let t = 0; t < timeSteps; t++) {
      const i0 = f32x4.add(f32x4.convert_i32x4_s(v128.load(count)), r0);
      const i1 = f32x4.add(f32x4.convert_i32x4_s(v128.load(count, 16)), r1);
      u0 = t == 0 ? i0 : f32x4.add(i0, u0);
      u1 = t == 0 ? i1 : f32x4.add(i1, u1);
      const s0 = f32x4.ge(u0, thresholds), s1 = f32x4.ge(u1, thresholds);
      store<u8>(byte, <u8>(i32x4.bitmask(s0) | (i32x4.bitmask(s1) << 4)));
      u0 = carry(u0, s0, decays, thresholds, reset);
      u1 = carry(u1, s1, decays, thresholds, reset);
      count += <usize>(PAGE << 2);
      byte += 8;
    }
  }
}

// @ts-ignore: decorator
@inline
function clearInts(at: usize, count: i32): void {
  const end = at + ((<usize>count) << 2);
  while (at + 16 <= end) {
    v128.store(at, i32x4.splat(0));
    at += 16;
  }
  while (at < end) {
    store<i32>(at, 0);
    at += 4;
  }
}
