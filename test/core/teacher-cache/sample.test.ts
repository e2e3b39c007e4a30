import { expect } from 'chai';
import fc from 'fast-check';

import { createRandom } from '../../../src/core/corpus/random.js';
import { sampleDistribution, WEIGHT_UNITS } from '../../../src/core/teacher-cache/sample.js';

interface Sample { readonly ids: number[]; readonly weights: number[] }

function draw(p: Float32Array, slots: number, random = createRandom(1)): Sample {
  const target = { ids: new Uint16Array(slots), units: new Uint16Array(slots) };
  sampleDistribution(p, target, random);
  return { ids: [...target.ids], weights: [...target.units].map((units) => units / WEIGHT_UNITS) };
}

/** A distribution whose logits are N(0, spread²), in float32 as a backend gives it. */
function distribution(vocabulary: number, spread: number, seed: number): Float32Array {
  const random = createRandom(seed);
  const raw = Array.from({ length: vocabulary }, () => Math.exp(spread * random.normal()));
  const sum = raw.reduce((a, b) => a + b);
  return Float32Array.from(raw, (value) => value / sum);
}

/** Chances π_v = min(1, p_v/τ) with Σπ_v = slots, τ by bisection in float64: independent of how the sampler finds it. */
function chances(p: Float32Array, slots: number): { pi: number[]; tau: number } {
  const at = (tau: number): number[] => Array.from(p, (value) => Math.min(1, value / tau));
  let [low, high] = [1e-12, 1];
  for (let i = 0; i < 200; i++) {
    const middle = (low + high) / 2;
    if (at(middle).reduce((a, b) => a + b) > slots) low = middle;
    else high = middle;
  }
  return { pi: at(high), tau: high };
}

describe('teacher-cache/sample', () => {
  it('by hand: .5 and .25 are kept as they are, two of five times .05 stand for the rest with .125 each', () => {
    // 4 slots: .5 > 1/4; .25 > .5/3; .05 ≤ .25/2, so τ = .125 and each of the five enters with chance .4.
    const { ids, weights } = draw(Float32Array.of(0.05, 0.5, 0.05, 0.05, 0.25, 0.05, 0.05), 4);
    expect(ids.slice(0, 2)).to.deep.equal([1, 4]);
    expect(new Set(ids).size).to.equal(4);
    [0.5, 0.25, 0.125, 0.125].forEach((weight, n) => expect(weights[n]).to.be.closeTo(weight, 1 / WEIGHT_UNITS));
  });

  it('is unbiased: over 20 000 draws every id has its own probability on average, within 5 standard errors', () => {
    const draws = 20_000;
    for (const [vocabulary, spread, slots, seed] of [[40, 2, 12, 1], [300, 1, 12, 2], [64, 4, 5, 3], [9, 0.5, 1, 4]] as const) {
      const p = distribution(vocabulary, spread, seed);
      const { pi, tau } = chances(p, slots);
      const total = p.reduce((a, b) => a + b, 0);
      const sums = new Float64Array(vocabulary);
      const random = createRandom(100 + seed);
      for (let i = 0; i < draws; i++) {
        const { ids, weights } = draw(p, slots, random);
        ids.forEach((id, n) => { sums[id] = (sums[id] as number) + (weights[n] as number); });
      }
      pi.forEach((chance, id) => {
        // What selection adds, Var = τ²π(1 − π) for the others, and what rounding to units adds, at most a quarter of a unit squared, a little per draw.
        const variance = (chance < 1 ? tau * tau * chance * (1 - chance) : 0) + 0.25 / WEIGHT_UNITS ** 2;
        expect(Math.abs((sums[id] as number) / draws - (p[id] as number) / total), `id ${id} of ${vocabulary}`).to.be.below(5 * Math.sqrt(variance / draws) + 1e-7);
      });
    }
  });

  it('so is the cross-entropy it gives, and its spread is below that of drawing with replacement', () => {
    const [vocabulary, slots, draws] = [500, 12, 20_000];
    const p = distribution(vocabulary, 2.5, 6);
    const surprise = Array.from(distribution(vocabulary, 2, 7), (q) => -Math.log(q));
    const exact = p.reduce((sum, value, v) => sum + value * (surprise[v] as number), 0);
    const random = createRandom(9);
    let [sum, squares] = [0, 0];
    for (let i = 0; i < draws; i++) {
      const { ids, weights } = draw(p, slots, random);
      const estimate = ids.reduce((value, id, n) => value + (weights[n] as number) * (surprise[id] as number), 0);
      sum += estimate;
      squares += (estimate - exact) ** 2;
    }
    expect(Math.abs(sum / draws - exact)).to.be.below(5 * Math.sqrt(squares / draws / draws));
    // N independent draws ∝ p: (Σ p·s² − (Σ p·s)²)/N.
    const independent = (p.reduce((value, chance, v) => value + chance * (surprise[v] as number) ** 2, 0) - exact ** 2) / slots;
    expect(squares / draws).to.be.below(independent / 2);
  });

  it('weights sum to exactly 1 and ids come once, whatever the distribution; ids that are impossible have no weight', () => {
    fc.assert(fc.property(fc.array(fc.float({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 60 }), fc.integer({ min: 1, max: 15 }), fc.nat(), (raw, slots, seed) => {
      fc.pre(raw.some((value) => value > 0));
      const p = Float32Array.from(raw);
      const target = { ids: new Uint16Array(slots).fill(7), units: new Uint16Array(slots).fill(7) };
      sampleDistribution(p, target, createRandom(seed));
      expect(target.units.reduce((a, b) => a + b, 0)).to.equal(WEIGHT_UNITS);
      const used = [...target.ids].filter((_, n) => (target.units[n] as number) > 0);
      expect(new Set(used).size).to.equal(used.length);
      for (const id of used) expect(p[id]).to.be.above(0);
    }), { numRuns: 300 });
  });

  it('holds the whole distribution where there are as many slots as ids', () => {
    for (const vocabulary of [1, 3, 12]) {
      const p = distribution(vocabulary, 1, vocabulary);
      const { ids, weights } = draw(p, 12);
      const dense = new Float64Array(vocabulary);
      ids.forEach((id, n) => { dense[id] = (dense[id] as number) + (weights[n] as number); });
      dense.forEach((weight, id) => expect(weight).to.be.closeTo(p[id] as number, 2 / WEIGHT_UNITS));
    }
    // Equal shares, where rounding decides whether an id counts as certain.
    expect(new Set(draw(new Float32Array(12).fill(1 / 12), 12).ids).size).to.equal(12);
  });

  it('gives the same sample for the same seed, another for another', () => {
    const p = distribution(200, 0.5, 3);
    expect(draw(p, 12, createRandom(5))).to.deep.equal(draw(p, 12, createRandom(5)));
    expect(draw(p, 12, createRandom(5)).ids).to.not.deep.equal(draw(p, 12, createRandom(6)).ids);
  });
});
