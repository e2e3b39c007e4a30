import { chunksOf, countCall, fetchChunk, lengthsAt, listBytes, listsAt, listUnion, listVectors, MAX_DIRECT } from './lists';

/**
 * Spike-driven products with int4 weights and one scale per output and group of 128 inputs. Nibbles are stored plus 8; up to
 * 16 rows are added as bytes, then widened. A group's whole-number sum is exact; groups are added as floats, ascending.
 */

/** A chunk is a scale group: 128 rows. */
const CHUNK_WORDS: i32 = 2;
const GROUP_ROWS: i32 = 128;
/** 16 · 15 still fits a byte. */
const BYTE_ROWS: i32 = 16;

/** acc (vectors, outputs) f32, columns from…to−1 := bias + Σ over groups of scale · Σ q of the fired rows. */
export function addRowsInt4(
  bits: usize, words: i32, vectors: i32, weights: usize, scales: usize, bias: usize, outputs: i32,
  from: i32, to: i32, acc: usize, scratch: usize, counts: usize,
): void {
  const chunks = chunksOf(words, CHUNK_WORDS);
  const isDirect = vectors <= MAX_DIRECT;
  const stride = isDirect ? outputs >> 1 : 32;
  countCall(bits, words, vectors, to - from, 0.5, counts);
  const lists = listsAt(scratch);
  const lengths = lengthsAt(scratch, words, vectors, CHUNK_WORDS);
  listVectors(bits, words, vectors, CHUNK_WORDS, stride, lists, lengths);
  copyBias(bias, acc, outputs, from, to, vectors);
  if (isDirect) {
    listUnion(bits, words, vectors, CHUNK_WORDS, stride, scratch);
    addDirect(lists, lengths, chunks, vectors, weights, scales, outputs, from, to, acc, scratch);
  } else {
    addTiled(lists, lengths, chunks, vectors, weights, words << 6, scales, outputs, from, to, acc, scratch);
  }
}

/** Group by group; its rows are fetched once before they are added, so that their cache misses overlap. */
function addDirect(
  lists: usize, lengths: usize, chunks: i32, vectors: i32,
  weights: usize, scales: usize, outputs: i32, from: i32, to: i32, acc: usize, sink: usize,
): void {
  const rowBytes = outputs >> 1;
  let rows = weights + ((<usize>from) >> 1);
  let touched: u32 = 0;
  for (let chunk = 0; chunk < chunks; chunk++) {
    touched ^= fetchChunk(lists, lengths, <usize>(vectors * chunks + chunk), CHUNK_WORDS, rows, (to - from) >> 1);
    for (let column = from; column < to; column += 64) {
      addVectors(lists, lengths, chunks, chunk, vectors, rows + ((<usize>(column - from)) >> 1), scales, outputs, column, acc);
    }
    rows += <usize>(GROUP_ROWS * rowBytes);
  }
  store<u32>(sink, touched);
}

/** Sixty-four columns at a time for all vectors. */
function addTiled(
  lists: usize, lengths: usize, chunks: i32, vectors: i32, weights: usize, inputs: i32, scales: usize, outputs: i32,
  from: i32, to: i32, acc: usize, tile: usize,
): void {
  const rowBytes = outputs >> 1;
  for (let column = from; column < to; column += 64) {
    let rows = weights + ((<usize>column) >> 1);
    for (let chunk = 0; chunk < chunks; chunk++) {
      copyTile(rows, rowBytes, tile, min(GROUP_ROWS, inputs - chunk * GROUP_ROWS));
      addVectors(lists, lengths, chunks, chunk, vectors, tile, scales, outputs, column, acc);
      rows += <usize>(GROUP_ROWS * rowBytes);
    }
  }
}

/** Adds one group's rows to 64 columns of every vector in which something fired. */
function addVectors(
  lists: usize, lengths: usize, chunks: i32, chunk: i32, vectors: i32, rows: usize, scales: usize, outputs: i32, column: i32, acc: usize,
): void {
  const scale = scales + ((<usize>(chunk * outputs + column)) << 2);
  for (let v = 0; v < vectors; v++) {
    const slot = <usize>(v * chunks + chunk);
    const length = load<i32>(lengths + (slot << 2));
    if (length == 0) continue;
    addGroup64(lists + slot * listBytes(CHUNK_WORDS), length, rows, scale, acc + ((<usize>(v * outputs + column)) << 2));
  }
}

function copyBias(bias: usize, acc: usize, outputs: i32, from: i32, to: i32, vectors: i32): void {
  for (let v = 0; v < vectors; v++) {
    for (let c = from; c < to; c += 4) v128.store(acc + ((<usize>(v * outputs + c)) << 2), v128.load(bias + ((<usize>c) << 2)));
  }
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
