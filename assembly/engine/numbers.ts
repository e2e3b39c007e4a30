/** Sums of spikes: 64 numbers, one per channel, as binary digits; a word holds one digit of all 64. */

/** Counts below 2^24: more positions than a cache can have. */
const DIGITS: i32 = 24;
export const NUMBER_BYTES: usize = 192;

/**
 * Adds the value bits of the positions set in `word` to 64 numbers, one per channel, of which a word holds one binary digit. Fifteen,
 * then seven, then three words are first added to each other, digit by digit, so that the numbers are touched once for all of them.
 */
export function addValues(word: u64, values: usize, numbers: usize): void {
  let left = <i32>popcnt(word);
  for (; left >= 15; left -= 15) {
    word = sumSeven(word, values);
    const s0 = digit0, s1 = digit1, s2 = digit2;
    word = sumSeven(word, values);
    const one = load<u64>(values + ((<usize>ctz(word)) << 3)); word &= word - 1;
    const c0 = majority(s0, digit0, one), c1 = majority(s1, digit1, c0), c2 = majority(s2, digit2, c1);
    const carried = addDigit(addDigit(addDigit(0, s0 ^ digit0 ^ one, numbers), s1 ^ digit1 ^ c0, numbers + 8), s2 ^ digit2 ^ c1, numbers + 16);
    carryOn(addDigit(carried, c2, numbers + 24), numbers + 32);
  }
  if (left >= 7) {
    word = sumSeven(word, values);
    carryOn(addDigit(addDigit(addDigit(0, digit0, numbers), digit1, numbers + 8), digit2, numbers + 16), numbers + 24);
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

/** What `sumSeven` found: the digits of the number of words, out of seven, that have a channel's bit. */
let digit0: u64 = 0, digit1: u64 = 0, digit2: u64 = 0;

/** Adds the words of the first seven positions set in `word`; returns the positions left. */
// @ts-ignore: decorator
@inline
function sumSeven(word: u64, values: usize): u64 {
  const a = load<u64>(values + ((<usize>ctz(word)) << 3)); word &= word - 1;
  const b = load<u64>(values + ((<usize>ctz(word)) << 3)); word &= word - 1;
  const c = load<u64>(values + ((<usize>ctz(word)) << 3)); word &= word - 1;
  const d = load<u64>(values + ((<usize>ctz(word)) << 3)); word &= word - 1;
  const e = load<u64>(values + ((<usize>ctz(word)) << 3)); word &= word - 1;
  const f = load<u64>(values + ((<usize>ctz(word)) << 3)); word &= word - 1;
  const g = load<u64>(values + ((<usize>ctz(word)) << 3)); word &= word - 1;
  const abc = a ^ b ^ c, abcde = abc ^ d ^ e;
  const k0 = majority(a, b, c), k1 = majority(abc, d, e), k2 = majority(abcde, f, g);
  digit0 = abcde ^ f ^ g;
  digit1 = k0 ^ k1 ^ k2;
  digit2 = majority(k0, k1, k2);
  return word;
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
export function addNumbers(numbers: usize, out: usize, width: i32, counters: usize): void {
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
