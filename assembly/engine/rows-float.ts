import { chunksOf, count, listBytes, listVectors, unite } from './lists';

/** Spike-driven products with float32 weights (outputs/64, inputs, 64): each sum starts from the bias and adds the fired rows, ascending. */

/** 256 rows of 256 bytes: offsets fit 16 bits, the rows of 64 columns stay in the second-level cache over all vectors. */
const CHUNK_WORDS: i32 = 4;
const CHUNK_BYTES: usize = 256 * 256;

/** acc (vectors, outputs) f32, columns from…to−1 := bias + the weight rows whose input fired. */
export function addRowsFloat(
  bits: usize, words: i32, vectors: i32, weights: usize, bias: usize, outputs: i32, from: i32, to: i32,
  acc: usize, scratch: usize, counts: usize,
): void {
  const chunks = chunksOf(words, CHUNK_WORDS);
  const lists = scratch;
  const union = lists + <usize>vectors * chunks * listBytes(CHUNK_WORDS);
  const lengths = union + ((<usize>words) << 3);
  const fired = listVectors(bits, words, vectors, CHUNK_WORDS, 256, lists, lengths);
  const rows = unite(bits, words, vectors, union);
  count(counts, <f64>fired * <f64>(to - from), 4 * <f64>rows * <f64>(to - from));
  for (let column = from; column < to; column += 64) {
    let block = weights + (<usize>column * (words << 6) << 2);
    for (let chunk = 0; chunk < chunks; chunk++) {
      for (let v = 0; v < vectors; v++) {
        const slot = <usize>(v * chunks + chunk);
        const into = acc + ((<usize>(v * outputs + column)) << 2);
        const start = chunk == 0 ? bias + ((<usize>column) << 2) : into;
        const list = lists + slot * listBytes(CHUNK_WORDS);
        const length = load<i32>(lengths + (slot << 2));
        addRows32(list, length, block, start, into);
        addRows32(list, length, block + 128, start + 128, into + 128);
      }
      block += CHUNK_BYTES;
    }
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
