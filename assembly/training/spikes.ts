import { loadFloats, storeFloats } from './simd';

/** Spikes as bits and as lists of those that fired. */

/** Bit c is set when float c of the first `count` (at most 64) at `ptr` is not 0. */
export function firedBits(ptr: usize, count: i32): u64 {
  let bits: u64 = 0;
  let c = 0;
  for (; c + 16 <= count; c += 16) {
    const at = ptr + ((<usize>c) << 2);
    bits |= sixteenBits(notZero(v128.load(at)), notZero(v128.load(at, 16)), notZero(v128.load(at, 32)), notZero(v128.load(at, 48))) << c;
  }
  for (; c < count; c++) bits |= (<u64>(load<f32>(ptr + ((<usize>c) << 2)) != 0)) << c;
  return bits;
}

/** Bit c is set when float c of the first `count` (at most 64) at `ptr` is the threshold or more. */
export function reachedBits(ptr: usize, count: i32, threshold: f32): u64 {
  const least = f32x4.splat(threshold);
  let bits: u64 = 0;
  let c = 0;
  for (; c + 16 <= count; c += 16) {
    const at = ptr + ((<usize>c) << 2);
    const first = f32x4.ge(v128.load(at), least), second = f32x4.ge(v128.load(at, 16), least);
    bits |= sixteenBits(first, second, f32x4.ge(v128.load(at, 32), least), f32x4.ge(v128.load(at, 48), least)) << c;
  }
  for (; c < count; c++) bits |= (<u64>(load<f32>(ptr + ((<usize>c) << 2)) >= threshold)) << c;
  return bits;
}

/** Bit c is set when float c of the first `count` (at most 64) at `ptr` is above 0 or no number. */
export function positiveBits(ptr: usize, count: i32): u64 {
  let bits: u64 = 0;
  let c = 0;
  for (; c + 16 <= count; c += 16) {
    const at = ptr + ((<usize>c) << 2);
    bits |= sixteenBits(notBelow(v128.load(at)), notBelow(v128.load(at, 16)), notBelow(v128.load(at, 32)), notBelow(v128.load(at, 48))) << c;
  }
  for (; c < count; c++) bits |= (<u64>!(load<f32>(ptr + ((<usize>c) << 2)) <= 0)) << c;
  return bits;
}

/** A bit for each lane of four masks. */
// @ts-ignore: decorator
@inline
function sixteenBits(a: v128, b: v128, c: v128, d: v128): u64 {
  return <u64>i8x16.bitmask(i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d)));
}

// @ts-ignore: decorator
@inline
function notBelow(v: v128): v128 {
  return v128.not(f32x4.le(v, f32x4.splat(0)));
}

// @ts-ignore: decorator
@inline
function notZero(v: v128): v128 {
  return f32x4.ne(v, f32x4.splat(0));
}

/** Words of 32 bits that hold the spikes of `count` neurons. */
// @ts-ignore: decorator
@inline
export function packedWords(count: i32): i32 {
  return (count + 31) >> 5;
}

/** bits (rows, words) u32 of spikes (rows, count) float32: spike c at bit c mod 32 of word c/32, the bits beyond the last one 0. */
export function packSpikes(spikes: usize, bits: usize, rows: i32, count: i32): void {
  for (let row = 0; row < rows; row++) {
    for (let c = 0; c < count; c += 32) {
      store<u32>(bits, <u32>firedBits(spikes + ((<usize>c) << 2), min(32, count - c)));
      bits += 4;
    }
    spikes += (<usize>count) << 2;
  }
}

/** Two words from `word` on, the second of them 0 where there is none. */
// @ts-ignore: decorator
@inline
export function twoWords(bits: usize, word: i32, words: i32): u64 {
  const at = bits + ((<usize>word) << 2);
  return word + 1 < words ? load<u64>(at) : <u64>load<u32>(at);
}

/** Writes index·stride of every set bit of the words to `list` (u32), ascending; returns how many. */
export function listFired(bits: usize, words: i32, stride: usize, list: usize): i32 {
  const start = list;
  for (let word = 0; word < words; word += 2) list = listBits(twoWords(bits, word, words), <usize>(word << 5) * stride, stride, list);
  return <i32>((list - start) >> 2);
}

/** Appends base + index·stride of every set bit to `list`, ascending; returns the new end. */
// @ts-ignore: decorator
@inline
export function listBits(bits: u64, base: usize, stride: usize, list: usize): usize {
  while (bits != 0) {
    store<u32>(list, <u32>(base + <usize>ctz(bits) * stride));
    list += 4;
    bits &= bits - 1;
  }
  return list;
}

/** out = init + the listed rows, in list order, `width` columns; `init` 0 stands for zeros. `list` holds byte offsets from `rows`. */
export function sumRows(list: usize, count: i32, rows: usize, init: usize, out: usize, width: i32): void {
  let c = 0;
  for (; c + 32 <= width; c += 32) {
    const at = (<usize>c) << 2;
    sumRows32(list, count, rows + at, init == 0 ? 0 : init + at, out + at);
  }
  for (; c + 16 <= width; c += 16) {
    const at = (<usize>c) << 2;
    sumRows16(list, count, rows + at, init == 0 ? 0 : init + at, out + at);
  }
  for (; c < width; c += 4) {
    const at = (<usize>c) << 2;
    sumRows4(list, count, rows + at, init == 0 ? 0 : init + at, out + at, width - c);
  }
}

/** `sumRows` for 32 columns. Not inlined: inside a larger function V8 keeps the sums in memory, which takes twice as long. */
export function sumRows32(list: usize, count: i32, rows: usize, init: usize, out: usize): void {
  let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
  if (init != 0) {
    s0 = v128.load(init); s1 = v128.load(init, 16); s2 = v128.load(init, 32); s3 = v128.load(init, 48);
    s4 = v128.load(init, 64); s5 = v128.load(init, 80); s6 = v128.load(init, 96); s7 = v128.load(init, 112);
  }
  const end = list + ((<usize>count) << 2);
  while (list < end) {
    const row = rows + <usize>load<u32>(list);
    s0 = f32x4.add(s0, v128.load(row)); s1 = f32x4.add(s1, v128.load(row, 16));
    s2 = f32x4.add(s2, v128.load(row, 32)); s3 = f32x4.add(s3, v128.load(row, 48));
    s4 = f32x4.add(s4, v128.load(row, 64)); s5 = f32x4.add(s5, v128.load(row, 80));
    s6 = f32x4.add(s6, v128.load(row, 96)); s7 = f32x4.add(s7, v128.load(row, 112));
    list += 4;
  }
  v128.store(out, s0); v128.store(out, s1, 16); v128.store(out, s2, 32); v128.store(out, s3, 48);
  v128.store(out, s4, 64); v128.store(out, s5, 80); v128.store(out, s6, 96); v128.store(out, s7, 112);
}

function sumRows16(list: usize, count: i32, rows: usize, init: usize, out: usize): void {
  let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
  if (init != 0) {
    s0 = v128.load(init); s1 = v128.load(init, 16); s2 = v128.load(init, 32); s3 = v128.load(init, 48);
  }
  const end = list + ((<usize>count) << 2);
  while (list < end) {
    const row = rows + <usize>load<u32>(list);
    s0 = f32x4.add(s0, v128.load(row)); s1 = f32x4.add(s1, v128.load(row, 16));
    s2 = f32x4.add(s2, v128.load(row, 32)); s3 = f32x4.add(s3, v128.load(row, 48));
    list += 4;
  }
  v128.store(out, s0); v128.store(out, s1, 16); v128.store(out, s2, 32); v128.store(out, s3, 48);
}

/** `sumRows` for at most 4 columns. */
export function sumRows4(list: usize, count: i32, rows: usize, init: usize, out: usize, width: i32): void {
  let sum = init != 0 ? loadFloats(init, width) : f32x4.splat(0);
  const end = list + ((<usize>count) << 2);
  while (list < end) {
    sum = f32x4.add(sum, loadFloats(rows + <usize>load<u32>(list), width));
    list += 4;
  }
  storeFloats(out, sum, width);
}
