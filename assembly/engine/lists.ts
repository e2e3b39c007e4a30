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

/** Lists the fired inputs of every vector, chunk by chunk: `lists` (vectors, chunks, 64·chunkWords) u32, `lengths` (vectors, chunks) i32. */
export function listVectors(bits: usize, words: i32, vectors: i32, chunkWords: i32, stride: u32, lists: usize, lengths: usize): void {
  const bytes = listBytes(chunkWords);
  for (let v = 0; v < vectors; v++) {
    for (let first = 0; first < words; first += chunkWords) {
      const end = listChunk(bits, first, words, chunkWords, stride, lists);
      store<i32>(lengths, <i32>((end - lists) >> 2));
      lengths += 4;
      lists += bytes;
    }
    bits += (<usize>words) << 3;
  }
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

/** Where a call's lists lie in its scratch: tile, lists of all vectors and of their union, the union, lengths of the lists. */
// @ts-ignore: decorator
@inline
export function listsAt(scratch: usize): usize {
  return scratch + TILE_BYTES;
}

// @ts-ignore: decorator
@inline
function unionAt(scratch: usize, words: i32, vectors: i32, chunkWords: i32): usize {
  return listsAt(scratch) + <usize>(vectors + 1) * chunksOf(words, chunkWords) * listBytes(chunkWords);
}

// @ts-ignore: decorator
@inline
export function lengthsAt(scratch: usize, words: i32, vectors: i32, chunkWords: i32): usize {
  return unionAt(scratch, words, vectors, chunkWords) + ((<usize>words) << 3);
}

/**
 * Adds to a call's two float64 counters: additions done, and bytes of weights read, `weightBytes` for each column of an input that
 * fired at least once.
 */
export function countCall(bits: usize, words: i32, vectors: i32, columns: i32, weightBytes: f64, counts: usize): void {
  let fired: i64 = 0, rows: i64 = 0;
  for (let word = 0; word < words; word++) {
    let at = bits + ((<usize>word) << 3);
    let all: u64 = 0;
    for (let v = 0; v < vectors; v++) {
      const bits = load<u64>(at);
      all |= bits;
      fired += popcnt(bits);
      at += (<usize>words) << 3;
    }
    rows += popcnt(all);
  }
  store<f64>(counts, load<f64>(counts) + <f64>fired * <f64>columns);
  store<f64>(counts, load<f64>(counts, 8) + weightBytes * <f64>rows * <f64>columns, 8);
}

/** Lists the union as one more vector, behind the last. */
export function listUnion(bits: usize, words: i32, vectors: i32, chunkWords: i32, stride: u32, scratch: usize): void {
  unite(bits, words, vectors, unionAt(scratch, words, vectors, chunkWords));
  const first = <usize>vectors * chunksOf(words, chunkWords);
  listVectors(
    unionAt(scratch, words, vectors, chunkWords), words, 1, chunkWords, stride,
    listsAt(scratch) + first * listBytes(chunkWords), lengthsAt(scratch, words, vectors, chunkWords) + (first << 2),
  );
}

/** The bitwise or of all vectors, `words` words at `union`. */
function unite(bits: usize, words: i32, vectors: i32, union: usize): void {
  for (let word = 0; word < words; word++) {
    let at = bits + ((<usize>word) << 3);
    let all: u64 = 0;
    for (let v = 0; v < vectors; v++) {
      all |= load<u64>(at);
      at += (<usize>words) << 3;
    }
    store<u64>(union + ((<usize>word) << 3), all);
  }
}

/** One load in every 64 bytes of a chunk's rows that fired in any vector, so that their cache misses overlap; the result is to be stored somewhere. */
export function fetchChunk(lists: usize, lengths: usize, slot: usize, chunkWords: i32, rows: usize, bytes: i32): u32 {
  let list = lists + slot * listBytes(chunkWords);
  const end = list + ((<usize>load<i32>(lengths + (slot << 2))) << 2);
  let touched: u32 = 0;
  while (list < end) {
    const row = rows + <usize>load<u32>(list);
    for (let at = 0; at < bytes; at += 64) touched ^= load<u8>(row + <usize>at);
    list += 4;
  }
  return touched;
}
