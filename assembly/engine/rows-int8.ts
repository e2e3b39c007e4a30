import { chunksOf, countCall, lengthsAt, listBytes, listsAt, listVectors, MAX_DIRECT } from './lists';
import { FEW, firedOf, firstOf, lengthOf, listFew, listOf, PAIRS, secondOf } from './pairs';

/**
 * Spike-driven products with int8 weights: the rows of the inputs that fired are added, nothing else is read. Sums are exact.
 *
 * Sixteen columns are one vector: even bytes hold columns 0–7 plus 128, odd bytes columns 8–15 signed. A 16-bit lane is then
 * odd·256 + even, so that one 16-bit addition adds both and one more of the lane shifted right by 8 keeps the odd ones apart:
 * four instructions for 16 weights. After n rows even = raw − 256·odd − 128·n, exact for n ≤ 256.
 */

/** Words of a chunk of inputs: 256 rows, the most that 16-bit sums hold. */
const CHUNK_WORDS: i32 = 4;
const CHUNK_ROWS: i32 = 256;
/** Columns whose 16-bit sums are kept at once: 24 KiB for four vectors, three quarters of the first-level cache. */
const STRIPE: i32 = 3072;
/** Where the lists of few vectors begin in the scratch, behind the sums. */
const FEW_AT: usize = 32768;

/** acc (vectors, outputs) i32, columns from…to−1 := Σ of the weight rows whose input fired. */
export function addRowsInt8(
  bits: usize, words: i32, vectors: i32, weights: usize, outputs: i32, from: i32, to: i32,
  acc: usize, scratch: usize, counts: usize,
): void {
  countCall(bits, words, vectors, to - from, 1, counts);
  if (vectors > MAX_DIRECT) return addTiled(bits, words, vectors, weights, outputs, from, to, acc, scratch);
  for (let v = 0; v < vectors; v += FEW) {
    addFew(bits + ((<usize>(v * words)) << 3), words, min(FEW, vectors - v), weights, outputs, from, to, acc + ((<usize>(v * outputs)) << 2), scratch);
  }
}

/** At most FEW vectors. Whole rows are read from end to end while the 16-bit sums stay in the first-level cache. */
function addFew(
  bits: usize, words: i32, vectors: i32, weights: usize, outputs: i32, from: i32, to: i32, acc: usize, scratch: usize,
): void {
  const few = scratch + FEW_AT;
  let first = 0;
  while (first < words) {
    const next = listFew(bits, words, vectors, first, outputs, few);
    const rows = weights + ((<usize>first) << 6) * <usize>outputs;
    for (let column = from; column < to; column += STRIPE) {
      const width = min(STRIPE, to - column);
      sumLists(few, vectors, rows + <usize>column, width, scratch);
      for (let v = 0; v < vectors; v++) {
        flushStripe(scratch + <usize>(v * width << 1), width, load<i32>(firedOf(few, v)), acc + ((<usize>(v * outputs + column)) << 2), first == 0);
      }
    }
    first = next;
  }
}

/** sums (vectors, width/16, raw|odd, 8) i16 := the listed rows. */
function sumLists(few: usize, vectors: i32, rows: usize, width: i32, sums: usize): void {
  const step = (<usize>width) << 1;
  memory.fill(sums, 0, step * vectors);
  for (let pair = 0; pair < PAIRS; pair++) {
    let list = listOf(few, FEW + pair);
    const end = list + ((<usize>load<i32>(lengthOf(few, FEW + pair))) << 2);
    for (; list < end; list += 32) addEightTwice(list, rows, width, sums + <usize>firstOf(pair) * step, sums + <usize>secondOf(pair) * step);
  }
  for (let v = 0; v < vectors; v++) sumList(listOf(few, v), load<i32>(lengthOf(few, v)), rows, width, sums + <usize>v * step);
}

/** Adds the rows of one list to the sums of one vector. */
function sumList(list: usize, length: i32, rows: usize, width: i32, sums: usize): void {
  const end = list + ((<usize>length) << 2);
  for (; list + 32 <= end; list += 32) addEight(list, rows, width, sums);
  for (; list + 16 <= end; list += 16) addFour(list, rows, width, sums);
  for (; list < end; list += 4) addOne(rows + <usize>load<u32>(list), width, sums);
}

// @ts-ignore: decorator
@inline
function sumFour(v: v128, w: v128, x: v128, y: v128): v128 {
  return i16x8.add(i16x8.add(v, w), i16x8.add(x, y));
}

// @ts-ignore: decorator
@inline
function sumFourOdd(v: v128, w: v128, x: v128, y: v128): v128 {
  return i16x8.add(i16x8.add(i16x8.shr_s(v, 8), i16x8.shr_s(w, 8)), i16x8.add(i16x8.shr_s(x, 8), i16x8.shr_s(y, 8)));
}

// @ts-ignore: decorator
@inline
function addTo(sums: usize, raw: v128, odd: v128): void {
  v128.store(sums, i16x8.add(v128.load(sums), raw));
  v128.store(sums, i16x8.add(v128.load(sums, 16), odd), 16);
}

/** Adds eight rows of `width` columns to the sums of one vector. */
function addEight(list: usize, rows: usize, width: i32, sums: usize): void {
  addEightTo(list, rows, width, sums, 0, false);
}

/** Adds eight rows to the sums of two vectors. */
function addEightTwice(list: usize, rows: usize, width: i32, sums: usize, others: usize): void {
  addEightTo(list, rows, width, sums, others, true);
}

/** Eight rows: as many streams as the processor's prefetcher follows well, and sums touched once for all. `isTwice` is a constant. */
// @ts-ignore: decorator
@inline
function addEightTo(list: usize, rows: usize, width: i32, sums: usize, others: usize, isTwice: bool): void {
  let a = rows + <usize>load<u32>(list), b = rows + <usize>load<u32>(list, 4);
  let c = rows + <usize>load<u32>(list, 8), d = rows + <usize>load<u32>(list, 12);
  let e = rows + <usize>load<u32>(list, 16), f = rows + <usize>load<u32>(list, 20);
  let g = rows + <usize>load<u32>(list, 24), h = rows + <usize>load<u32>(list, 28);
  const end = a + <usize>width;
  while (a < end) {
    let v = v128.load(a), w = v128.load(b), x = v128.load(c), y = v128.load(d);
    let raw = sumFour(v, w, x, y), odd = sumFourOdd(v, w, x, y);
    v = v128.load(e); w = v128.load(f); x = v128.load(g); y = v128.load(h);
    raw = i16x8.add(raw, sumFour(v, w, x, y));
    odd = i16x8.add(odd, sumFourOdd(v, w, x, y));
    addTo(sums, raw, odd);
    if (isTwice) addTo(others, raw, odd);
    a += 16; b += 16; c += 16; d += 16; e += 16; f += 16; g += 16; h += 16; sums += 32;
    if (isTwice) others += 32;
  }
}

/** Adds four rows of `width` columns to the sums. */
function addFour(list: usize, rows: usize, width: i32, sums: usize): void {
  let a = rows + <usize>load<u32>(list), b = rows + <usize>load<u32>(list, 4);
  let c = rows + <usize>load<u32>(list, 8), d = rows + <usize>load<u32>(list, 12);
  const end = a + <usize>width;
  while (a < end) {
    const v = v128.load(a), w = v128.load(b), x = v128.load(c), y = v128.load(d);
    addTo(sums, sumFour(v, w, x, y), sumFourOdd(v, w, x, y));
    a += 16; b += 16; c += 16; d += 16; sums += 32;
  }
}

/** Adds one row of `width` columns to the sums. */
function addOne(a: usize, width: i32, sums: usize): void {
  const end = a + <usize>width;
  while (a < end) {
    const v = v128.load(a);
    addTo(sums, v, i16x8.shr_s(v, 8));
    a += 16; sums += 32;
  }
}

/** acc (width) i32 := or += the sums of `length` rows. */
function flushStripe(sums: usize, width: i32, length: i32, acc: usize, isFirst: bool): void {
  const offset = i16x8.splat(<i16>(length << 7));
  const end = acc + ((<usize>width) << 2);
  while (acc < end) {
    flush(v128.load(sums), v128.load(sums, 16), offset, acc, isFirst);
    sums += 32;
    acc += 64;
  }
}

/** Many vectors: sixty-four columns at a time for all of them. */
function addTiled(
  bits: usize, words: i32, vectors: i32, weights: usize, outputs: i32, from: i32, to: i32, acc: usize, scratch: usize,
): void {
  const chunks = chunksOf(words, CHUNK_WORDS);
  const lists = listsAt(scratch), lengths = lengthsAt(scratch, words, vectors, CHUNK_WORDS);
  listVectors(bits, words, vectors, CHUNK_WORDS, 64, lists, lengths);
  for (let column = from; column < to; column += 64) {
    let rows = weights + <usize>column;
    for (let chunk = 0; chunk < chunks; chunk++) {
      copyTile(rows, outputs, scratch, min(CHUNK_ROWS, (words << 6) - chunk * CHUNK_ROWS));
      for (let v = 0; v < vectors; v++) {
        const slot = <usize>(v * chunks + chunk);
        addRows64(
          lists + slot * listBytes(CHUNK_WORDS), load<i32>(lengths + (slot << 2)), scratch,
          acc + ((<usize>(v * outputs + column)) << 2), chunk == 0,
        );
      }
      rows += <usize>(CHUNK_ROWS * outputs);
    }
  }
}

function copyTile(rows: usize, stride: usize, tile: usize, height: i32): void {
  const end = tile + ((<usize>height) << 6);
  while (tile < end) {
    v128.store(tile, v128.load(rows));
    v128.store(tile, v128.load(rows, 16), 16);
    v128.store(tile, v128.load(rows, 32), 32);
    v128.store(tile, v128.load(rows, 48), 48);
    rows += stride;
    tile += 64;
  }
}

/** acc (64) i32 := or += the listed rows. */
function addRows64(list: usize, length: i32, rows: usize, acc: usize, isFirst: bool): void {
  if (length == 0) {
    if (isFirst) clear64(acc);
    return;
  }
  let raw0 = i16x8.splat(0), raw1 = raw0, raw2 = raw0, raw3 = raw0;
  let odd0 = raw0, odd1 = raw0, odd2 = raw0, odd3 = raw0;
  const end = list + ((<usize>length) << 2);
  while (list < end) {
    const row = rows + <usize>load<u32>(list);
    const v0 = v128.load(row);
    raw0 = i16x8.add(raw0, v0);
    odd0 = i16x8.add(odd0, i16x8.shr_s(v0, 8));
    const v1 = v128.load(row, 16);
    raw1 = i16x8.add(raw1, v1);
    odd1 = i16x8.add(odd1, i16x8.shr_s(v1, 8));
    const v2 = v128.load(row, 32);
    raw2 = i16x8.add(raw2, v2);
    odd2 = i16x8.add(odd2, i16x8.shr_s(v2, 8));
    const v3 = v128.load(row, 48);
    raw3 = i16x8.add(raw3, v3);
    odd3 = i16x8.add(odd3, i16x8.shr_s(v3, 8));
    list += 4;
  }
  const offset = i16x8.splat(<i16>(length << 7));
  flush(raw0, odd0, offset, acc, isFirst);
  flush(raw1, odd1, offset, acc + 64, isFirst);
  flush(raw2, odd2, offset, acc + 128, isFirst);
  flush(raw3, odd3, offset, acc + 192, isFirst);
}

// @ts-ignore: decorator
@inline
function flush(raw: v128, odd: v128, offset: v128, acc: usize, isFirst: bool): void {
  const even = i16x8.sub(i16x8.sub(raw, i16x8.shl(odd, 8)), offset);
  let a = i32x4.extend_low_i16x8_s(even), b = i32x4.extend_high_i16x8_s(even);
  let c = i32x4.extend_low_i16x8_s(odd), d = i32x4.extend_high_i16x8_s(odd);
  if (!isFirst) {
    a = i32x4.add(a, v128.load(acc));
    b = i32x4.add(b, v128.load(acc, 16));
    c = i32x4.add(c, v128.load(acc, 32));
    d = i32x4.add(d, v128.load(acc, 48));
  }
  v128.store(acc, a);
  v128.store(acc, b, 16);
  v128.store(acc, c, 32);
  v128.store(acc, d, 48);
}

function clear64(acc: usize): void {
  const zero = i32x4.splat(0);
  for (let at: usize = 0; at < 256; at += 16) v128.store(acc + at, zero);
}
