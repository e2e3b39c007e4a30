/**
 * Lists of the inputs that fired, for at most four vectors at once: an input that fired in several of them is listed for two at a
 * time, so that its weights are read once for both. Fields at `few`: ten lists of u32, one per vector and one per pair of vectors,
 * how long each is, and how many inputs fired in each vector.
 */

/** The most vectors that are listed together. */
export const FEW: i32 = 4;
/** The most inputs of a chunk that may fire in one vector: what 16-bit sums hold. A list is never longer. */
const MOST: i32 = 256;
/** Inputs listed for a pair are a multiple of this: what is added in one turn. The rest is listed for either vector. */
const TURN: i32 = 8;
const LIST_BYTES: usize = 1024;

export const PAIRS: i32 = 6;
/** Vectors of pairs 0 … 5, a hexadecimal digit each, the last pair first. */
const FIRST: i32 = 0x110020, SECOND: i32 = 0x323231;

// @ts-ignore: decorator
@inline
export function firstOf(pair: i32): i32 {
  return (FIRST >> (pair << 2)) & 3;
}

// @ts-ignore: decorator
@inline
export function secondOf(pair: i32): i32 {
  return (SECOND >> (pair << 2)) & 3;
}

/** List of vector `slot`, or of pair `slot − FEW`. */
// @ts-ignore: decorator
@inline
export function listOf(few: usize, slot: i32): usize {
  return few + <usize>slot * LIST_BYTES;
}

/** Where the length of list `slot` stands. */
// @ts-ignore: decorator
@inline
export function lengthOf(few: usize, slot: i32): usize {
  return few + <usize>(FEW + PAIRS) * LIST_BYTES + ((<usize>slot) << 2);
}

/** Where it stands how many inputs fired in vector `v`. */
// @ts-ignore: decorator
@inline
export function firedOf(few: usize, v: i32): usize {
  return lengthOf(few, FEW + PAIRS + v);
}

// @ts-ignore: decorator
@inline
function wordOf(bits: usize, words: i32, vectors: i32, v: i32, word: i32): u64 {
  return v < vectors ? load<u64>(bits + ((<usize>(v * words + word)) << 3)) : 0;
}

/** Lists inputs from word `first` on, as offset · stride, as many words as no vector has too many in; returns the word after. */
export function listFew(bits: usize, words: i32, vectors: i32, first: i32, stride: u32, few: usize): i32 {
  for (let slot = 0; slot < FEW + PAIRS + FEW; slot++) store<i32>(lengthOf(few, slot), 0);
  let base: u32 = 0;
  let word = first;
  for (; word < words; word++) {
    const a = wordOf(bits, words, vectors, 0, word), b = wordOf(bits, words, vectors, 1, word);
    const c = wordOf(bits, words, vectors, 2, word), d = wordOf(bits, words, vectors, 3, word);
    if (!haveRoom(few, a, b, c, d)) break;
    listWords(few, a, b, c, d, base, stride);
    base += stride << 6;
  }
  for (let pair = 0; pair < PAIRS; pair++) listRest(few, pair);
  return word;
}

/** Counts what fired, unless that would be too many. */
function haveRoom(few: usize, a: u64, b: u64, c: u64, d: u64): bool {
  const n0 = load<i32>(firedOf(few, 0)) + <i32>popcnt(a), n1 = load<i32>(firedOf(few, 1)) + <i32>popcnt(b);
  const n2 = load<i32>(firedOf(few, 2)) + <i32>popcnt(c), n3 = load<i32>(firedOf(few, 3)) + <i32>popcnt(d);
  if (max(max(n0, n1), max(n2, n3)) > MOST) return false;
  store<i32>(firedOf(few, 0), n0); store<i32>(firedOf(few, 1), n1); store<i32>(firedOf(few, 2), n2); store<i32>(firedOf(few, 3), n3);
  return true;
}

/** Time steps that follow each other are paired first, then what is left across them. */
function listWords(few: usize, a: u64, b: u64, c: u64, d: u64, base: u32, stride: u32): void {
  const ab = a & b, cd = c & d;
  listWord(few, FEW, ab, base, stride);
  a ^= ab; b ^= ab;
  if ((c | d) != 0) {
    listWord(few, FEW + 1, cd, base, stride);
    c ^= cd; d ^= cd;
    const ac = a & c, ad = a & d, bc = b & c, bd = b & d;
    listWord(few, FEW + 2, ac, base, stride);
    listWord(few, FEW + 3, ad, base, stride);
    listWord(few, FEW + 4, bc, base, stride);
    listWord(few, FEW + 5, bd, base, stride);
    a &= ~(ac | ad); b &= ~(bc | bd);
    listWord(few, 2, c & ~(ac | bc), base, stride);
    listWord(few, 3, d & ~(ad | bd), base, stride);
  }
  listWord(few, 0, a, base, stride);
  listWord(few, 1, b, base, stride);
}

function listWord(few: usize, slot: i32, bits: u64, base: u32, stride: u32): void {
  if (bits == 0) return;
  const length = load<i32>(lengthOf(few, slot));
  let at = listOf(few, slot) + ((<usize>length) << 2);
  store<i32>(lengthOf(few, slot), length + <i32>popcnt(bits));
  while (bits != 0) {
    store<u32>(at, base + <u32>ctz(bits) * stride);
    at += 4;
    bits &= bits - 1;
  }
}

/** Lists what does not fill a turn of a pair for both of its vectors. */
function listRest(few: usize, pair: i32): void {
  const length = load<i32>(lengthOf(few, FEW + pair));
  const whole = length - length % TURN;
  store<i32>(lengthOf(few, FEW + pair), whole);
  const list = listOf(few, FEW + pair);
  for (let n = whole; n < length; n++) {
    const row = load<u32>(list + ((<usize>n) << 2));
    append(few, firstOf(pair), row);
    append(few, secondOf(pair), row);
  }
}

function append(few: usize, slot: i32, row: u32): void {
  const length = load<i32>(lengthOf(few, slot));
  store<u32>(listOf(few, slot) + ((<usize>length) << 2), row);
  store<i32>(lengthOf(few, slot), length + 1);
}
