/** Lists of the inputs that fired: what the row kernels walk. */

/** With more vectors than this the rows in use are copied together, 64 columns at a time, so that they stay in the caches. */
export const MAX_DIRECT: i32 = 8;
/** Room for the largest tile: 64 columns of 256 float32 rows. */
export const TILE_BYTES: usize = 64 * 256 * 4;

/** Tile, lists and their lengths for all vectors and their union, the union: enough for every precision (int4 has twice the chunks, of half the size). */
export function addRowsScratchBytes(words: i32, vectors: i32): usize {
  return TILE_BYTES + <usize>(vectors + 1) * chunksOf(words, 4) * (listBytes(4) + 8) + ((<usize>words) << 3);
}

/** Sizes of one call's lists; `stride` is what an index is multiplied by, so that an entry is a byte offset inside its chunk. */
// @ts-ignore: decorator
@inline
export function chunksOf(words: i32, chunkWords: i32): i32 {
  return (words + chunkWords - 1) / chunkWords;
}

/** Bytes of one list: u32 per input of a chunk. */
// @ts-ignore: decorator
@inline
export function listBytes(chunkWords: i32): usize {
  return (<usize>chunkWords) << 8;
}

/** Appends base + bit·stride of every set bit as u32; returns the new end. */
// @ts-ignore: decorator
@inline
function listWord(bits: u64, base: u32, stride: u32, end: usize): usize {
  while (bits != 0) {
    store<u32>(end, base + <u32>ctz(bits) * stride);
    end += 4;
    bits &= bits - 1;
  }
  return end;
}

/**
 * Lists the fired inputs of every vector, chunk by chunk: `lists` (vectors, chunks, 64·chunkWords) u32, `counts` (vectors, chunks) i32.
 * Returns how many fired in all.
 */
export function listVectors(bits: usize, words: i32, vectors: i32, chunkWords: i32, stride: u32, lists: usize, counts: usize): i64 {
  const bytes = listBytes(chunkWords);
  let total: i64 = 0;
  for (let v = 0; v < vectors; v++) {
    for (let first = 0; first < words; first += chunkWords) {
      const end = listChunk(bits, first, words, chunkWords, stride, lists);
      const count = <i32>((end - lists) >> 2);
      store<i32>(counts, count);
      total += count;
      counts += 4;
      lists += bytes;
    }
    bits += (<usize>words) << 3;
  }
  return total;
}

function listChunk(bits: usize, first: i32, words: i32, chunkWords: i32, stride: u32, list: usize): usize {
  const last = min(words, first + chunkWords);
  let base: u32 = 0;
  for (let word = first; word < last; word++) {
    list = listWord(load<u64>(bits + ((<usize>word) << 3)), base, stride, list);
    base += stride << 6;
  }
  return list;
}

/** The bitwise or of all vectors, `words` words at `union`; returns how many inputs fired at least once. */
export function unite(bits: usize, words: i32, vectors: i32, union: usize): i32 {
  let rows = 0;
  for (let word = 0; word < words; word++) {
    let at = bits + ((<usize>word) << 3);
    let all: u64 = 0;
    for (let v = 0; v < vectors; v++) {
      all |= load<u64>(at);
      at += (<usize>words) << 3;
    }
    store<u64>(union + ((<usize>word) << 3), all);
    rows += <i32>popcnt(all);
  }
  return rows;
}

/** One load in every 64 bytes of the listed rows, so that the cache misses of a chunk overlap; the result is to be stored somewhere. */
export function fetchRows(list: usize, length: i32, rows: usize, bytes: i32): u32 {
  const end = list + ((<usize>length) << 2);
  let touched: u32 = 0;
  while (list < end) {
    const row = rows + <usize>load<u32>(list);
    for (let at = 0; at < bytes; at += 64) touched ^= load<u8>(row + <usize>at);
    list += 4;
  }
  return touched;
}

/** Adds to two float64 counters: additions done, and bytes of weights read. */
export function count(counts: usize, additions: f64, bytes: f64): void {
  store<f64>(counts, load<f64>(counts) + additions);
  store<f64>(counts + 8, load<f64>(counts + 8) + bytes);
}
