import { chunksOf, lengthsAt, listBytes, listCall, listsAt, MAX_DIRECT } from './lists';

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
/** Columns whose 16-bit sums, 2 bytes a column, are kept at once: 8 KiB, a quarter of the first-level cache. */
const STRIPE: i32 = 4096;

/** acc (vectors, outputs) i32, columns from…to−1 := Σ of the weight rows whose input fired. */
export function addRowsInt8(
  bits: usize, words: i32, vectors: i32, weights: usize, outputs: i32, from: i32, to: i32,
  acc: usize, scratch: usize, counts: usize,
): void {
  const chunks = chunksOf(words, CHUNK_WORDS);
  const isDirect = vectors <= MAX_DIRECT;
  const stride = isDirect ? outputs : 64;
  listCall(bits, words, vectors, CHUNK_WORDS, stride, to - from, 1, scratch, counts);
  const lists = listsAt(scratch);
  const lengths = lengthsAt(scratch, words, vectors, CHUNK_WORDS);
  if (isDirect) {
    addDirect(lists, lengths, chunks, vectors, weights, outputs, from, to, acc, scratch);
  } else {
    addTiled(lists, lengths, chunks, vectors, weights, words << 6, outputs, from, to, acc, scratch);
  }
}

/**
 * Chunk by chunk and vector by vector, four rows at a time over all their columns: each row is read once from end to end, which is
 * what the processor's prefetcher follows, while the 16-bit sums stay in the first-level cache.
 */
function addDirect(
  lists: usize, lengths: usize, chunks: i32, vectors: i32, weights: usize, outputs: i32, from: i32, to: i32, acc: usize, sums: usize,
): void {
  for (let column = from; column < to; column += STRIPE) {
    const width = min(STRIPE, to - column);
    let rows = weights + <usize>column;
    for (let chunk = 0; chunk < chunks; chunk++) {
      for (let v = 0; v < vectors; v++) {
        const slot = <usize>(v * chunks + chunk);
        const length = load<i32>(lengths + (slot << 2));
        const into = acc + ((<usize>(v * outputs + column)) << 2);
        if (length == 0) {
          if (chunk == 0) memory.fill(into, 0, (<usize>width) << 2);
          continue;
        }
        sumStripe(lists + slot * listBytes(CHUNK_WORDS), length, rows, width, sums);
        flushStripe(sums, width, length, into, chunk == 0);
      }
      rows += <usize>(CHUNK_ROWS * outputs);
    }
  }
}

/** sums (width/16, raw|odd, 8) i16 := the listed rows. */
function sumStripe(list: usize, length: i32, rows: usize, width: i32, sums: usize): void {
  const end = list + ((<usize>length) << 2);
  memory.fill(sums, 0, (<usize>width) << 1);
  for (; list + 16 <= end; list += 16) {
    addFour(rows + <usize>load<u32>(list), rows + <usize>load<u32>(list, 4), rows + <usize>load<u32>(list, 8), rows + <usize>load<u32>(list, 12), width, sums);
  }
  for (; list < end; list += 4) addOne(rows + <usize>load<u32>(list), width, sums);
}

/** Adds four rows of `width` columns to the sums. */
function addFour(a: usize, b: usize, c: usize, d: usize, width: i32, sums: usize): void {
  const end = a + <usize>width;
  while (a < end) {
    const v = v128.load(a), w = v128.load(b), x = v128.load(c), y = v128.load(d);
    const raw = i16x8.add(i16x8.add(v, w), i16x8.add(x, y));
    const odd = i16x8.add(i16x8.add(i16x8.shr_s(v, 8), i16x8.shr_s(w, 8)), i16x8.add(i16x8.shr_s(x, 8), i16x8.shr_s(y, 8)));
    v128.store(sums, i16x8.add(v128.load(sums), raw));
    v128.store(sums, i16x8.add(v128.load(sums, 16), odd), 16);
    a += 16; b += 16; c += 16; d += 16; sums += 32;
  }
}

/** Adds one row of `width` columns to the sums. */
function addOne(a: usize, width: i32, sums: usize): void {
  const end = a + <usize>width;
  while (a < end) {
    const v = v128.load(a);
    v128.store(sums, i16x8.add(v128.load(sums), v));
    v128.store(sums, i16x8.add(v128.load(sums, 16), i16x8.shr_s(v, 8)), 16);
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

/** Sixty-four columns at a time for all vectors. */
function addTiled(
  lists: usize, lengths: usize, chunks: i32, vectors: i32, weights: usize, inputs: i32, outputs: i32,
  from: i32, to: i32, acc: usize, tile: usize,
): void {
  for (let column = from; column < to; column += 64) {
    let rows = weights + <usize>column;
    for (let chunk = 0; chunk < chunks; chunk++) {
      copyTile(rows, outputs, tile, min(CHUNK_ROWS, inputs - chunk * CHUNK_ROWS));
      for (let v = 0; v < vectors; v++) {
        const slot = <usize>(v * chunks + chunk);
        addRows64(
          lists + slot * listBytes(CHUNK_WORDS), load<i32>(lengths + (slot << 2)), tile,
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
