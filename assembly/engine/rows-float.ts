import { chunksOf, countCall, fetchChunk, lengthsAt, listBytes, listsAt, listUnion, listVectors, MAX_DIRECT } from './lists';

/** Spike-driven products with float32 weights (inputs, outputs): each sum starts from the bias and adds the fired rows, ascending. */

/** Words of a chunk of inputs: 256 rows. */
const CHUNK_WORDS: i32 = 4;
const CHUNK_ROWS: i32 = 256;

/** acc (vectors, outputs) f32, columns from…to−1 := bias + the weight rows whose input fired. */
export function addRowsFloat(
  bits: usize, words: i32, vectors: i32, weights: usize, bias: usize, outputs: i32, from: i32, to: i32,
  acc: usize, scratch: usize, counts: usize,
): void {
  const chunks = chunksOf(words, CHUNK_WORDS);
  const isDirect = vectors <= MAX_DIRECT;
  const stride = isDirect ? outputs << 2 : 256;
  countCall(bits, words, vectors, to - from, 4, counts);
  const lists = listsAt(scratch);
  const lengths = lengthsAt(scratch, words, vectors, CHUNK_WORDS);
  listVectors(bits, words, vectors, CHUNK_WORDS, stride, lists, lengths);
  if (isDirect) {
    listUnion(bits, words, vectors, CHUNK_WORDS, stride, scratch);
    addDirect(lists, lengths, chunks, vectors, weights, bias, outputs, from, to, acc, scratch);
  } else {
    addTiled(lists, lengths, chunks, vectors, weights, words << 6, bias, outputs, from, to, acc, scratch);
  }
}

/** Chunk by chunk; its rows are fetched once before they are added, so that their cache misses overlap. */
function addDirect(
  lists: usize, lengths: usize, chunks: i32, vectors: i32,
  weights: usize, bias: usize, outputs: i32, from: i32, to: i32, acc: usize, sink: usize,
): void {
  const rowBytes = outputs << 2;
  let rows = weights + ((<usize>from) << 2);
  let touched: u32 = 0;
  for (let chunk = 0; chunk < chunks; chunk++) {
    touched ^= fetchChunk(lists, lengths, <usize>(vectors * chunks + chunk), CHUNK_WORDS, rows, (to - from) << 2);
    for (let column = from; column < to; column += 64) {
      addVectors(lists, lengths, chunks, chunk, vectors, rows + ((<usize>(column - from)) << 2), bias, outputs, column, acc);
    }
    rows += <usize>(CHUNK_ROWS * rowBytes);
  }
  store<u32>(sink, touched);
}

/** Sixty-four columns at a time for all vectors. */
function addTiled(
  lists: usize, lengths: usize, chunks: i32, vectors: i32, weights: usize, inputs: i32, bias: usize, outputs: i32,
  from: i32, to: i32, acc: usize, tile: usize,
): void {
  const rowBytes = outputs << 2;
  for (let column = from; column < to; column += 64) {
    let rows = weights + ((<usize>column) << 2);
    for (let chunk = 0; chunk < chunks; chunk++) {
      copyTile(rows, rowBytes, tile, min(CHUNK_ROWS, inputs - chunk * CHUNK_ROWS));
      addVectors(lists, lengths, chunks, chunk, vectors, tile, bias, outputs, column, acc);
      rows += <usize>(CHUNK_ROWS * rowBytes);
    }
  }
}

function copyTile(rows: usize, stride: usize, tile: usize, height: i32): void {
  const end = tile + ((<usize>height) << 8);
  while (tile < end) {
    for (let at: usize = 0; at < 256; at += 64) {
      v128.store(tile + at, v128.load(rows + at));
      v128.store(tile + at, v128.load(rows + at, 16), 16);
      v128.store(tile + at, v128.load(rows + at, 32), 32);
      v128.store(tile + at, v128.load(rows + at, 48), 48);
    }
    rows += stride;
    tile += 256;
  }
}

/** Adds one chunk's rows to 64 columns of every vector; the first chunk starts from the bias. */
function addVectors(
  lists: usize, lengths: usize, chunks: i32, chunk: i32, vectors: i32, rows: usize, bias: usize, outputs: i32, column: i32, acc: usize,
): void {
  for (let v = 0; v < vectors; v++) {
    const slot = <usize>(v * chunks + chunk);
    const into = acc + ((<usize>(v * outputs + column)) << 2);
    const start = chunk == 0 ? bias + ((<usize>column) << 2) : into;
    const list = lists + slot * listBytes(CHUNK_WORDS);
    const length = load<i32>(lengths + (slot << 2));
    addRows32(list, length, rows, start, into);
    addRows32(list, length, rows + 128, start + 128, into + 128);
  }
}

function addRows32(list: usize, length: i32, rows: usize, start: usize, into: usize): void {
  let s0 = v128.load(start), s1 = v128.load(start, 16), s2 = v128.load(start, 32), s3 = v128.load(start, 48);
  let s4 = v128.load(start, 64), s5 = v128.load(start, 80), s6 = v128.load(start, 96), s7 = v128.load(start, 112);
  const end = list + ((<usize>length) << 2);
  while (list < end) {
    const row = rows + <usize>load<u32>(list);
    s0 = f32x4.add(s0, v128.load(row));
    s1 = f32x4.add(s1, v128.load(row, 16));
    s2 = f32x4.add(s2, v128.load(row, 32));
    s3 = f32x4.add(s3, v128.load(row, 48));
    s4 = f32x4.add(s4, v128.load(row, 64));
    s5 = f32x4.add(s5, v128.load(row, 80));
    s6 = f32x4.add(s6, v128.load(row, 96));
    s7 = f32x4.add(s7, v128.load(row, 112));
    list += 4;
  }
  v128.store(into, s0); v128.store(into, s1, 16); v128.store(into, s2, 32); v128.store(into, s3, 48);
  v128.store(into, s4, 64); v128.store(into, s5, 80); v128.store(into, s6, 96); v128.store(into, s7, 112);
}
