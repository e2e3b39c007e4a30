import { FormatError } from '../errors.js';

/** State of a generator: four unsigned 32-bit words, plain JSON. */
export type RandomState = readonly [number, number, number, number];

/** A seeded generator; everything random in the project is drawn from one of these. */
export interface Random {
  /** Uniform in [0, 1) with 53 random bits. */
  next(): number;
  /** Uniform over 0 … bound − 1, without modulo bias. @throws RangeError unless bound is a whole number in 1 … 2³². */
  integer(bound: number): number;
  /** Standard normal (Box–Muller; two uniforms a draw, so the state alone says where the stream is). */
  normal(): number;
  /** What `restoreRandom` needs to continue this stream exactly. */
  state(): RandomState;
}

const WORD = 2 ** 32;

/** splitmix32: spreads the bits of a seed word over a stream of words. */
function createSplitMix(seed: number): () => number {
  let counter = seed >>> 0;
  return () => {
    counter = (counter + 0x9e3779b9) >>> 0;
    let z = counter;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return (z ^ (z >>> 16)) >>> 0;
  };
}

/** The two 32-bit halves of a seed. @throws RangeError unless it is a whole number in 0 … 2⁵³ − 1. */
function seedWords(seed: number): { low: number; high: number } {
  if (!Number.isSafeInteger(seed) || seed < 0) throw new RangeError(`a seed is a whole number from 0 to 2^53 - 1, not ${seed}`);
  return { low: seed % WORD, high: Math.floor(seed / WORD) };
}

/** xoshiro128** (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021) on the given words. */
class Xoshiro128 implements Random {
  private a: number;
  private b: number;
  private c: number;
  private d: number;

  constructor(words: RandomState) {
    [this.a, this.b, this.c, this.d] = words;
  }

  next(): number {
    const high = this.word() >>> 5;
    return (high * 2 ** 26 + (this.word() >>> 6)) / 2 ** 53;
  }

  integer(bound: number): number {
    if (!Number.isInteger(bound) || bound < 1 || bound > WORD) throw new RangeError(`a bound is a whole number from 1 to 2^32, not ${bound}`);
    const limit = WORD - (WORD % bound);
    let word = this.word();
    while (word >= limit) word = this.word();
    return word % bound;
  }

  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.next()));
    return radius * Math.cos(2 * Math.PI * this.next());
  }

  state(): RandomState {
    return [this.a, this.b, this.c, this.d];
  }

  private word(): number {
    const product = Math.imul(this.b, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const shifted = this.b << 9;
    this.c = (this.c ^ this.a) >>> 0;
    this.d = (this.d ^ this.b) >>> 0;
    this.b = (this.b ^ this.c) >>> 0;
    this.a = (this.a ^ this.d) >>> 0;
    this.c = (this.c ^ shifted) >>> 0;
    this.d = ((this.d << 11) | (this.d >>> 21)) >>> 0;
    return result;
  }
}

/** A generator from a seed; equal seeds give equal streams on every machine. @throws RangeError unless seed is a whole number in 0 … 2⁵³ − 1. */
export function createRandom(seed: number): Random {
  const { low, high } = seedWords(seed);
  const words = createSplitMix(low ^ Math.imul(high, 0x9e3779b1));
  const mixed: [number, number, number, number] = [words(), words(), words(), (words() ^ high) >>> 0];
  // The all-zero state is the one fixed point of the recurrence.
  return new Xoshiro128(mixed.every((word) => word === 0) ? [1, 0, 0, 0] : mixed);
}

/** Continues the stream whose `state()` this was. @throws FormatError when it is not four 32-bit words, or all zero. */
export function restoreRandom(state: readonly number[]): Random {
  const isWord = (word: number | undefined): boolean => Number.isInteger(word) && (word as number) >= 0 && (word as number) < WORD;
  if (state.length !== 4 || !state.every(isWord) || state.every((word) => word === 0)) {
    throw new FormatError(`random state must be four 32-bit words, not all zero; found ${JSON.stringify(state)}`);
  }
  return new Xoshiro128([state[0] as number, state[1] as number, state[2] as number, state[3] as number]);
}

/** A seed for the numbered sub-stream of a seed, e.g. one per epoch or sample; different streams are unrelated. @throws RangeError as `createRandom`. */
export function deriveSeed(seed: number, stream: number): number {
  const outer = seedWords(seed);
  const inner = seedWords(stream);
  let hash = 0x2545f491;
  for (const word of [outer.low, outer.high, inner.low, inner.high]) hash = createSplitMix((hash ^ word) >>> 0)();
  const words = createSplitMix(hash);
  return (words() >>> 11) * WORD + words();
}

/** The numbers 0 … count − 1 in a random order (Fisher–Yates). */
export function shuffledOrder(count: number, random: Random): Int32Array {
  const order = Int32Array.from({ length: count }, (_, index) => index);
  for (let last = count - 1; last > 0; last--) {
    const other = random.integer(last + 1);
    const kept = order[last] as number;
    order[last] = order[other] as number;
    order[other] = kept;
  }
  return order;
}
