import { createRandom } from '../../src/core/corpus/random.js';

/** Fills with random bits from a seed: fast enough for the matrices of a peer, whose speed does not depend on their values. */
export function fillWithRandomBits(words: Uint32Array, seed: number): void {
  let word = createRandom(seed).integer(2 ** 32) | 0;
  for (let i = 0; i < words.length; i++) {
    word = (Math.imul(word, 1_664_525) + 1_013_904_223) | 0;
    words[i] = word ^ (word >>> 15);
  }
}
