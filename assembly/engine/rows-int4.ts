import { chunksOf, count, listBytes, listVectors, unite } from './lists';

/**
 * Spike-driven products with int4 weights and one scale per output and group of 128 inputs. Nibbles are stored plus 8; up to
 * 16 rows are added as bytes, then widened. A group's whole-number sum is exact; groups are added as floats, ascending.
 */

/** A chunk is a scale group: 128 rows. */
const CHUNK_WORDS: i32 = 2;
const GROUP_ROWS: i32 = 128;
/** 16 · 15 still fits a byte. */
const BYTE_ROWS: i32 = 16;
const MAX_DIRECT: i32 = 8;
const TILE_BYTES: usize = 64 * 256;

/** acc (vectors, outputs) f32, columns from…to−1 := bias + Σ over groups of scale · Σ q of the fired rows. */
export function addRowsInt4(
  bits: usize, words: i32, vectors: i32, weights: usize, scales: usize, bias: usize, blockWidth: i32, outputs: i32,
  from: i32, to: i32, acc: usize, scratch: usize, counts: usize,
): void {
  const chunks = chunksOf(words, CHUNK_WORDS);
  const isDirect = vectors <= MAX_DIRECT;
  const rowBytes = blockWidth >> 1;
  const lists = scratch + TILE_BYTES;
  const union = lists + <usize>(vectors + 1) * chunks * listBytes(CHUNK_WORDS);
  const lengths = union + ((<usize>words) << 3);
  const stride = isDirect ? rowBytes : 32;
  const fired = listVectors(bits, words, vectors, CHUNK_WORDS, stride, lists, lengths);
  const rows = unite(bits, words, vectors, union);
  count(counts, <f64>fired * <f64>(to - from), 0.5 * <f64>rows * <f64>(to - from));
  copyBias(bias, acc, outputs, from, to, vectors);
  const unionLists = lists + <usize>vectors * chunks * listBytes(CHUNK_WORDS);
  const unionLengths = lengths + ((<usize>vectors * chunks) << 2);
  if (isDirect) listVectors(union, words, 1, CHUNK_WORDS, stride, unionLists, unionLengths);
  let touched: u32 = 0;
  for (let column = from; column < to;) {
    const block = column / blockWidth;
    // Tiles are 64 columns wide; without them a whole block's rows are fetched together.
    const end = isDirect ? min(to, (block + 1) * blockWidth) : column + 64;
    let start = weights + <usize>block * rowBytes * (words << 6) + ((<usize>(column - block * blockWidth)) >> 1);
    for (let chunk = 0; chunk < chunks; chunk++) {
      let from64 = start;
      if (isDirect) {
        touched ^= fetchRows(unionLists + <usize>chunk * listBytes(CHUNK_WORDS), load<i32>(unionLengths + ((<usize>chunk) << 2)), start, (end - column) >> 1);
      } else {
        copyTile(start, rowBytes, scratch, min(GROUP_ROWS, (words << 6) - chunk * GROUP_ROWS));
        from64 = scratch;
      }
      for (let c = column; c < end; c += 64) {
        const scale = scales + ((<usize>(chunk * outputs + c)) << 2);
        for (let v = 0; v < vectors; v++) {
          const slot = <usize>(v * chunks + chunk);
          const length = load<i32>(lengths + (slot << 2));
          if (length == 0) continue;
          addGroup64(lists + slot * listBytes(CHUNK_WORDS), length, from64 + ((<usize>(c - column)) >> 1), scale, acc + ((<usize>(v * outputs + c)) << 2));
        }
      }
      start += <usize>(GROUP_ROWS * rowBytes);
    }
    column = end;
  }
  store<u32>(scratch, touched);
}

function copyBias(bias: usize, acc: usize, outputs: i32, from: i32, to: i32, vectors: i32): void {
  for (let v = 0; v < vectors; v++) {
    for (let c = from; c < to; c += 4) v128.store(acc + ((<usize>(v * outputs + c)) << 2), v128.load(bias + ((<usize>c) << 2)));
  }
}

/** One load of every cache line of the listed rows. */
function fetchRows(list: usize, length: i32, rows: usize, bytes: i32): u32 {
  const end = list + ((<usize>length) << 2);
  let touched: u32 = 0;
  while (list < end) {
    const row = rows + <usize>load<u32>(list);
    for (let at = 0; at < bytes; at += 64) touched ^= load<u8>(row + <usize>at);
    list += 4;
  }
  return touched;
}

function copyTile(rows: usize, stride: usize, tile: usize, height: i32): void {
  const end = tile + ((<usize>height) << 5);
  while (tile < end) {
    v128.store(tile, v128.load(rows));
    v128.store(tile, v128.load(rows, 16), 16);
    rows += stride;
    tile += 32;
  }
}

/** acc (64) f32 += scale · (Σ of the listed rows − 8 per row). */
function addGroup64(list: usize, length: i32, rows: usize, scale: usize, acc: usize): void {
  const nibble = i8x16.splat(15);
  const zero = i16x8.splat(0);
  let w0 = zero, w1 = zero, w2 = zero, w3 = zero, w4 = zero, w5 = zero, w6 = zero, w7 = zero;
  const end = list + ((<usize>length) << 2);
  while (list < end) {
    const stop = min(end, list + ((<usize>BYTE_ROWS) << 2));
    let b0 = zero, b1 = zero, b2 = zero, b3 = zero;
    while (list < stop) {
      const row = rows + <usize>load<u32>(list);
      const x = v128.load(row), y = v128.load(row, 16);
      b0 = i8x16.add(b0, v128.and(x, nibble));
      b1 = i8x16.add(b1, i8x16.shr_u(x, 4));
      b2 = i8x16.add(b2, v128.and(y, nibble));
      b3 = i8x16.add(b3, i8x16.shr_u(y, 4));
      list += 4;
    }
    w0 = i16x8.add(w0, i16x8.extend_low_i8x16_u(b0)); w1 = i16x8.add(w1, i16x8.extend_high_i8x16_u(b0));
    w2 = i16x8.add(w2, i16x8.extend_low_i8x16_u(b1)); w3 = i16x8.add(w3, i16x8.extend_high_i8x16_u(b1));
    w4 = i16x8.add(w4, i16x8.extend_low_i8x16_u(b2)); w5 = i16x8.add(w5, i16x8.extend_high_i8x16_u(b2));
    w6 = i16x8.add(w6, i16x8.extend_low_i8x16_u(b3)); w7 = i16x8.add(w7, i16x8.extend_high_i8x16_u(b3));
  }
  const offset = i16x8.splat(<i16>(length << 3));
  addScaled(i16x8.sub(w0, offset), scale, acc);
  addScaled(i16x8.sub(w1, offset), scale + 32, acc + 32);
  addScaled(i16x8.sub(w2, offset), scale + 64, acc + 64);
  addScaled(i16x8.sub(w3, offset), scale + 96, acc + 96);
  addScaled(i16x8.sub(w4, offset), scale + 128, acc + 128);
  addScaled(i16x8.sub(w5, offset), scale + 160, acc + 160);
  addScaled(i16x8.sub(w6, offset), scale + 192, acc + 192);
  addScaled(i16x8.sub(w7, offset), scale + 224, acc + 224);
}

// @ts-ignore: decorator
@inline
function addScaled(sums: v128, scale: usize, acc: usize): void {
  const low = f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(sums)), v128.load(scale));
  const high = f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(sums)), v128.load(scale, 16));
  v128.store(acc, f32x4.add(v128.load(acc), low));
  v128.store(acc, f32x4.add(v128.load(acc, 16), high), 16);
}
