import { expect } from 'chai';
import { FormatError } from '../../../src/core/errors.js';
import { createRandom, deriveSeed, restoreRandom, shuffledOrder } from '../../../src/core/corpus/random.js';

/** xoshiro128** a second time, on BigInt words, written from the paper's recurrence. */
function referenceWords(start: readonly bigint[], count: number): bigint[] {
  const mask = 0xffffffffn;
  const rotate = (value: bigint, by: bigint): bigint => ((value << by) | (value >> (32n - by))) & mask;
  let [a, b, c, d] = start as [bigint, bigint, bigint, bigint];
  return Array.from({ length: count }, () => {
    const result = (rotate((b * 5n) & mask, 7n) * 9n) & mask;
    const c1 = c ^ a;
    const d1 = d ^ b;
    [a, b, c, d] = [a ^ d1, b ^ c1, c1 ^ ((b << 9n) & mask), rotate(d1, 11n)];
    return result;
  });
}

describe('random', () => {
  it('draws xoshiro128** words: the state 1, 2, 3, 4 begins 11520, 0, 5927040, 70819200', () => {
    // By hand: rotl(2·5, 7)·9 = 1280·9 = 11520; the new second word is 2 ^ (3 ^ 1) = 0, hence 0.
    expect(referenceWords([1n, 2n, 3n, 4n], 4)).to.deep.equal([11520n, 0n, 5927040n, 70819200n]);
    const random = restoreRandom([1, 2, 3, 4]);
    expect([1, 2, 3, 4].map(() => random.integer(2 ** 32))).to.deep.equal([11520, 0, 5927040, 70819200]);
  });

  it('agrees with a second implementation for 2,000 words of a seeded stream', () => {
    const random = createRandom(7);
    const words = referenceWords(random.state().map(BigInt), 2000);
    expect(words.map(() => BigInt(random.integer(2 ** 32)))).to.deep.equal(words);
  });

  it('builds a fraction from 27 high and 26 high bits of two words', () => {
    expect(restoreRandom([1, 2, 3, 4]).next()).to.equal(((11520 >>> 5) * 2 ** 26 + 0) / 2 ** 53);
  });

  it('continues exactly from a state that went through JSON', () => {
    const random = createRandom(3);
    for (let i = 0; i < 10; i++) random.normal();
    const copy = restoreRandom(JSON.parse(JSON.stringify(random.state())) as number[]);
    expect([copy.next(), copy.integer(10), copy.normal()]).to.deep.equal([random.next(), random.integer(10), random.normal()]);
  });

  it('has uniform fractions and integers and standard normals, within five deviations', () => {
    const random = createRandom(11);
    const draws = 40_000;
    const mean = (draw: () => number): number => Array.from({ length: draws }, draw).reduce((sum, value) => sum + value, 0) / draws;
    expect(mean(() => random.next())).to.be.closeTo(0.5, 5 / Math.sqrt(12 * draws));
    expect(mean(() => (random.integer(3) === 2 ? 1 : 0))).to.be.closeTo(1 / 3, 5 * Math.sqrt(2 / 9 / draws));
    expect(mean(() => random.normal())).to.be.closeTo(0, 5 / Math.sqrt(draws));
    expect(mean(() => random.normal() ** 2)).to.be.closeTo(1, 5 * Math.sqrt(2 / draws));
  });

  it('separates seeds that share their low 32 bits, and sub-streams of one seed', () => {
    const firsts = [1, 1 + 2 ** 32, 1 + 2 ** 33, 2].map((seed) => createRandom(seed).next());
    const seeds = Array.from({ length: 1000 }, (_, stream) => deriveSeed(5, stream));
    expect(new Set(firsts).size).to.equal(4);
    expect(new Set(seeds).size).to.equal(1000);
    expect(seeds.every((seed) => Number.isSafeInteger(seed) && seed >= 0)).to.equal(true);
    expect(deriveSeed(5, 6)).not.to.equal(deriveSeed(6, 5));
  });

  it('shuffles 0 … n − 1, every place reachable', () => {
    const random = createRandom(1);
    const firsts = new Set(Array.from({ length: 200 }, () => shuffledOrder(5, random)[0]));
    expect([...shuffledOrder(100, random)].sort((a, b) => a - b)).to.deep.equal(Array.from({ length: 100 }, (_, i) => i));
    expect(firsts.size).to.equal(5);
    expect([...shuffledOrder(0, random)]).to.deep.equal([]);
  });

  it('refuses seeds, bounds and states that are none', () => {
    for (const seed of [-1, 0.5, 2 ** 53, Number.NaN]) expect(() => createRandom(seed), String(seed)).to.throw(RangeError, 'seed');
    for (const bound of [0, 1.5, 2 ** 32 + 1]) expect(() => createRandom(1).integer(bound), String(bound)).to.throw(RangeError, 'bound');
    for (const state of [[0, 0, 0, 0], [1, 2, 3], [1, 2, 3, -1], [1, 2, 3, 2 ** 32]]) expect(() => restoreRandom(state)).to.throw(FormatError, 'random state').with.property('exitCode', 5);
  });
});
