import { chunksOf, count, listBytes, listVectors, unite } from './lists';

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
/** With more vectors than this the 64 columns × 256 rows in use are copied together, so that they stay in the first-level cache. */
const MAX_DIRECT: i32 = 8;
const TILE_BYTES: usize = 64 * 256;

/** Tile, lists and their lengths for all vectors and their union, the union: enough for every precision (int4 has twice the chunks, of half the size). */
export function addRowsScratchBytes(words: i32, vectors: i32): usize {
  return TILE_BYTES + <usize>(vectors + 1) * chunksOf(words, CHUNK_WORDS) * (listBytes(CHUNK_WORDS) + 8) + ((<usize>words) << 3);
}

/** acc (vectors, outputs) i32, columns from…to−1 := Σ of the weight rows whose input fired. */
export function addRowsInt8(
  bits: usize, words: i32, vectors: i32, weights: usize, blockWidth: i32, outputs: i32, from: i32, to: i32,
  acc: usize, scratch: usize, counts: usize,
): void {
  const chunks = chunksOf(words, CHUNK_WORDS);
  const isDirect = vectors <= MAX_DIRECT;
  const tile = scratch;
  const lists = tile + TILE_BYTES;
  const union = lists + <usize>(vectors + 1) * chunks * listBytes(CHUNK_WORDS);
  const lengths = union + ((<usize>words) << 3);
  const stride = isDirect ? blockWidth : 64;
  const fired = listVectors(bits, words, vectors, CHUNK_WORDS, stride, lists, lengths);
  const rows = unite(bits, words, vectors, union);
  count(counts, <f64>fired * <f64>(to - from), <f64>rows * <f64>(to - from));
  if (isDirect) {
    const unionLists = lists + <usize>vectors * chunks * listBytes(CHUNK_WORDS);
    const unionLengths = lengths + ((<usize>vectors * chunks) << 2);
    listVectors(union, words, 1, CHUNK_WORDS, stride, unionLists, unionLengths);
    addDirect(lists, lengths, chunks, vectors, unionLists, unionLengths, weights, words << 6, blockWidth, outputs, from, to, acc, tile);
  } else {
    addTiled(lists, lengths, chunks, vectors, weights, words << 6, blockWidth, outputs, from, to, acc, tile);
  }
}

/** Block by block; the rows of a chunk are fetched once before they are added, so that their cache misses overlap. */
function addDirect(
  lists: usize, lengths: usize, chunks: i32, vectors: i32, unionLists: usize, unionLengths: usize,
  weights: usize, inputs: i32, blockWidth: i32, outputs: i32, from: i32, to: i32, acc: usize, sink: usize,
): void {
  const chunkBytes = <usize>(CHUNK_ROWS * blockWidth);
  let touched: u32 = 0;
  for (let column = from; column < to;) {
    const block = column / blockWidth;
    const end = min(to, (block + 1) * blockWidth);
    let rows = weights + <usize>block * blockWidth * inputs + <usize>(column - block * blockWidth);
    for (let chunk = 0; chunk < chunks; chunk++) {
      touched ^= fetchRows(unionLists + <usize>chunk * listBytes(CHUNK_WORDS), load<i32>(unionLengths + ((<usize>chunk) << 2)), rows, end - column);
      for (let c = column; c < end; c += 64) {
        for (let v = 0; v < vectors; v++) {
          const slot = <usize>(v * chunks + chunk);
          addRows64(
            lists + slot * listBytes(CHUNK_WORDS), load<i32>(lengths + (slot << 2)), rows + <usize>(c - column),
            acc + ((<usize>(v * outputs + c)) << 2), chunk == 0,
          );
        }
      }
      rows += chunkBytes;
    }
    column = end;
  }
  store<u32>(sink, touched);
}

/** One load of every cache line of the listed rows. */
function fetchRows(list: usize, length: i32, rows: usize, width: i32): u32 {
  const end = list + ((<usize>length) << 2);
  let touched: u32 = 0;
  while (list < end) {
    const row = rows + <usize>load<u32>(list);
    for (let c = 0; c < width; c += 64) touched ^= load<u8>(row + <usize>c);
    list += 4;
  }
  return touched;
}

/** Sixty-four columns at a time for all vectors. */
function addTiled(
  lists: usize, lengths: usize, chunks: i32, vectors: i32, weights: usize, inputs: i32, blockWidth: i32, outputs: i32,
  from: i32, to: i32, acc: usize, tile: usize,
): void {
  for (let column = from; column < to; column += 64) {
    const block = column / blockWidth;
    let rows = weights + <usize>block * blockWidth * inputs + <usize>(column - block * blockWidth);
    for (let chunk = 0; chunk < chunks; chunk++) {
      const height = min(CHUNK_ROWS, inputs - chunk * CHUNK_ROWS);
      copyTile(rows, blockWidth, tile, height);
      for (let v = 0; v < vectors; v++) {
        const slot = <usize>(v * chunks + chunk);
        addRows64(
          lists + slot * listBytes(CHUNK_WORDS), load<i32>(lengths + (slot << 2)), tile,
          acc + ((<usize>(v * outputs + column)) << 2), chunk == 0,
        );
      }
      rows += <usize>(CHUNK_ROWS * blockWidth);
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
