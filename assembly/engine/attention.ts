import { carry } from './neurons';

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

/** Binary digits of a number per channel: counts below 2^24, more positions than a cache can have. */
const DIGITS: i32 = 24;
const NUMBER_BYTES: usize = 192;

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

/**
 * Adds the value bits of the positions set in `word` to 64 numbers, one per channel, of which a word holds one binary digit. Fifteen,
 * then seven, then three words are first added to each other, digit by digit, so that the numbers are touched once for all of them.
 */
function addValues(word: u64, values: usize, numbers: usize): void {
  let left = <i32>popcnt(word);
  for (; left >= 15; left -= 15) {
    let s0: u64 = 0, s1: u64 = 0, s2: u64 = 0;
    let c0: u64 = 0, c1: u64 = 0, d: u64 = 0;
    for (let half = 0; half < 2; half++) {
      const p = load<u64>(values + ((<usize>ctz(word)) << 3)); word &= word - 1;
      const q = load<u64>(values + ((<usize>ctz(word)) << 3)); word &= word - 1;
      const r = load<u64>(values + ((<usize>ctz(word)) << 3)); word &= word - 1;
      const s = load<u64>(values + ((<usize>ctz(word)) << 3)); word &= word - 1;
      const t = load<u64>(values + ((<usize>ctz(word)) << 3)); word &= word - 1;
      const u = load<u64>(values + ((<usize>ctz(word)) << 3)); word &= word - 1;
      const v = load<u64>(values + ((<usize>ctz(word)) << 3)); word &= word - 1;
      const pqr = p ^ q ^ r, all = pqr ^ s ^ t;
      const k0 = majority(p, q, r), k1 = majority(pqr, s, t), k2 = majority(all, u, v);
      const digit0 = all ^ u ^ v, digit1 = k0 ^ k1 ^ k2, digit2 = majority(k0, k1, k2);
      if (half == 0) {
        s0 = digit0; s1 = digit1; s2 = digit2;
      } else {
        const one = load<u64>(values + ((<usize>ctz(word)) << 3)); word &= word - 1;
        c0 = majority(s0, digit0, one); s0 = s0 ^ digit0 ^ one;
        c1 = majority(s1, digit1, c0); s1 = s1 ^ digit1 ^ c0;
        d = majority(s2, digit2, c1); s2 = s2 ^ digit2 ^ c1;
      }
    }
    carryOn(addDigit(addDigit(addDigit(addDigit(0, s0, numbers), s1, numbers + 8), s2, numbers + 16), d, numbers + 24), numbers + 32);
  }
  if (left >= 7) {
    const a = load<u64>(values + ((<usize>ctz(word)) << 3)); word &= word - 1;
    const b = load<u64>(values + ((<usize>ctz(word)) << 3)); word &= word - 1;
    const c = load<u64>(values + ((<usize>ctz(word)) << 3)); word &= word - 1;
    const d = load<u64>(values + ((<usize>ctz(word)) << 3)); word &= word - 1;
    const e = load<u64>(values + ((<usize>ctz(word)) << 3)); word &= word - 1;
    const f = load<u64>(values + ((<usize>ctz(word)) << 3)); word &= word - 1;
    const g = load<u64>(values + ((<usize>ctz(word)) << 3)); word &= word - 1;
    const abc = a ^ b ^ c, abcde = abc ^ d ^ e;
    const k0 = majority(a, b, c), k1 = majority(abc, d, e), k2 = majority(abcde, f, g);
    carryOn(addDigit(addDigit(addDigit(0, abcde ^ f ^ g, numbers), k0 ^ k1 ^ k2, numbers + 8), majority(k0, k1, k2), numbers + 16), numbers + 24);
    left -= 7;
  }
  for (; left >= 3; left -= 3) {
    const a = load<u64>(values + ((<usize>ctz(word)) << 3)); word &= word - 1;
    const b = load<u64>(values + ((<usize>ctz(word)) << 3)); word &= word - 1;
    const c = load<u64>(values + ((<usize>ctz(word)) << 3)); word &= word - 1;
    carryOn(addDigit(addDigit(0, a ^ b ^ c, numbers), majority(a, b, c), numbers + 8), numbers + 16);
  }
  for (; word != 0; word &= word - 1) carryOn(load<u64>(values + ((<usize>ctz(word)) << 3)), numbers);
}

/** Adds a digit and what is carried into it to the digit at `at`; returns what it carries on. */
// @ts-ignore: decorator
@inline
function addDigit(carried: u64, digit: u64, at: usize): u64 {
  const old = load<u64>(at);
  store<u64>(at, old ^ digit ^ carried);
  return majority(old, digit, carried);
}

/** Adds a bit per channel to the digit at `at` and carries on as far as it goes. */
// @ts-ignore: decorator
@inline
function carryOn(bits: u64, at: usize): void {
  while (bits != 0) {
    const old = load<u64>(at);
    store<u64>(at, old ^ bits);
    bits &= old;
    at += 8;
  }
}

/** out (width) i32 += the numbers, eight digits at a time by way of 64 byte counters. */
function addNumbers(numbers: usize, out: usize, width: i32, counters: usize): void {
  for (let first = 0; first < DIGITS; first += 8) {
    let isZero = true;
    for (let k = 0; k < 8; k++) {
      const digit = load<u64>(numbers + ((<usize>(first + k)) << 3));
      if (digit == 0) continue;
      if (isZero) clearBytes(counters, 64);
      isZero = false;
      spread(digit, <i8>(<i32>1 << k), counters);
    }
    if (!isZero) empty(counters, out, width, first);
  }
}

/** The carry of three bits. */
// @ts-ignore: decorator
@inline
function majority(a: u64, b: u64, c: u64): u64 {
  return (a & b) | ((a ^ b) & c);
}

/** Adds `weight` to the counters of the channels set in `bits`. */
// @ts-ignore: decorator
@inline
function spread(bits: u64, weight: i8, counters: usize): void {
  const bit = i8x16(1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128);
  const weights = i8x16.splat(weight);
  const x = i64x2.splat(bits);
  const b0 = i8x16.eq(v128.and(i8x16.shuffle(x, x, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1), bit), bit);
  const b1 = i8x16.eq(v128.and(i8x16.shuffle(x, x, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3), bit), bit);
  const b2 = i8x16.eq(v128.and(i8x16.shuffle(x, x, 4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5, 5), bit), bit);
  const b3 = i8x16.eq(v128.and(i8x16.shuffle(x, x, 6, 6, 6, 6, 6, 6, 6, 6, 7, 7, 7, 7, 7, 7, 7, 7), bit), bit);
  v128.store(counters, i8x16.add(v128.load(counters), v128.and(b0, weights)));
  v128.store(counters, i8x16.add(v128.load(counters, 16), v128.and(b1, weights)), 16);
  v128.store(counters, i8x16.add(v128.load(counters, 32), v128.and(b2, weights)), 32);
  v128.store(counters, i8x16.add(v128.load(counters, 48), v128.and(b3, weights)), 48);
}

/** out (width) i32 += byte counters · 2^shift. */
function empty(counters: usize, out: usize, width: i32, shift: i32): void {
  let c = 0;
  for (; c + 16 <= width; c += 16) {
    const bytes = v128.load(counters + <usize>c);
    const low = i16x8.extend_low_i8x16_u(bytes), high = i16x8.extend_high_i8x16_u(bytes);
    const at = out + ((<usize>c) << 2);
    v128.store(at, i32x4.add(v128.load(at), i32x4.shl(i32x4.extend_low_i16x8_u(low), shift)));
    v128.store(at, i32x4.add(v128.load(at, 16), i32x4.shl(i32x4.extend_high_i16x8_u(low), shift)), 16);
    v128.store(at, i32x4.add(v128.load(at, 32), i32x4.shl(i32x4.extend_low_i16x8_u(high), shift)), 32);
    v128.store(at, i32x4.add(v128.load(at, 48), i32x4.shl(i32x4.extend_high_i16x8_u(high), shift)), 48);
  }
  for (; c < width; c++) {
    const at = out + ((<usize>c) << 2);
    store<i32>(at, load<i32>(at) + (<i32>load<u8>(counters + <usize>c) << shift));
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

/** `count` is a multiple of 64. */
// @ts-ignore: decorator
@inline
function clearBytes(at: usize, count: i32): void {
  const end = at + <usize>count;
  while (at < end) {
    v128.store(at, i32x4.splat(0));
    at += 16;
  }
}
