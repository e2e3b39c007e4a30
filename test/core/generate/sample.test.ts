import { expect } from 'chai';
import fc from 'fast-check';

import { NumericError, ShapeError, UsageError } from '../../../src/core/errors.js';
import { candidates, checkSamplingOptions, mostProbable, penaliseRepetition, sampleToken } from '../../../src/core/generate/sample.js';
import type { SamplingOptions } from '../../../src/core/generate/sample.js';

const plain: SamplingOptions = { repetitionPenalty: 1, temperature: 1, topK: null, topP: null };
const logsOf = (...weights: number[]): Float32Array => Float32Array.from(weights, Math.log);
const idsOf = (logits: Float32Array, options: Partial<SamplingOptions>): number[] => [...candidates(logits, { ...plain, ...options }).ids];

function expectProbabilities(actual: Float64Array, expected: readonly number[]): void {
  expect(actual.length).to.equal(expected.length);
  actual.forEach((p, i) => expect(p).to.be.closeTo(expected[i]!, 1e-7));
}

/** A small independent generator (Park and Miller's minimal standard), for tests only. */
function minimalStandard(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return (state - 1) / 2_147_483_646;
  };
}

describe('greedy choice', () => {
  it('is the largest logit, the lowest id on ties, whatever the draw', () => {
    expect(mostProbable(Float32Array.of(-3, 2, 2, -1))).to.equal(1);
    expect(mostProbable(Float32Array.of(-Infinity, -5))).to.equal(1);
    expect(sampleToken(Float32Array.of(0, 1, 5), { ...plain, temperature: 0, topK: 3 }, 0.999)).to.equal(2);
  });

  it('refuses logits that leave nothing to choose', () => {
    for (const logits of [[0, NaN], [-Infinity, -Infinity], [0, Infinity], []]) {
      expect(() => mostProbable(Float32Array.from(logits))).to.throw(NumericError).with.property('exitCode', 7);
    }
  });
});

describe('candidates', () => {
  it('are the softmax', () => {
    const { ids, probabilities } = candidates(logsOf(1, 4, 3), plain);
    expect([...ids]).to.deep.equal([0, 1, 2]);
    expectProbabilities(probabilities, [1 / 8, 4 / 8, 3 / 8]);
  });

  it('follow the temperature: at 1/2 weights are squared', () => {
    expectProbabilities(candidates(logsOf(1, 2, 3), { ...plain, temperature: 0.5 }).probabilities, [1 / 14, 4 / 14, 9 / 14]);
  });

  it('do not overflow at a very low temperature', () => {
    expectProbabilities(candidates(Float32Array.of(1000, 999, -1000), { ...plain, temperature: 1e-6 }).probabilities, [1]);
  });

  it('leave out impossible tokens, and those too improbable for a float64', () => {
    expect(idsOf(Float32Array.of(-Infinity, 0, 0), {})).to.deep.equal([1, 2]);
    expect(idsOf(Float32Array.of(0, -2000, 0), {})).to.deep.equal([0, 2]);
  });

  it('keep the k most probable, the lowest ids among ties', () => {
    expect(idsOf(logsOf(1, 4, 3, 2), { topK: 2 })).to.deep.equal([1, 2]);
    expect(idsOf(logsOf(2, 1, 2, 4, 2), { topK: 3 })).to.deep.equal([0, 2, 3]);
    expect(idsOf(logsOf(1, 2), { topK: 50 })).to.deep.equal([0, 1]);
    expectProbabilities(candidates(logsOf(1, 4, 3, 2), { ...plain, topK: 2 }).probabilities, [4 / 7, 3 / 7]);
  });

  it('keep the fewest whose mass reaches p, the lowest ids among ties', () => {
    const equal = new Float32Array(4);
    expect(idsOf(equal, { topP: 0.5 })).to.deep.equal([0, 1]);
    expect(idsOf(equal, { topP: 0.51 })).to.deep.equal([0, 1, 2]);
    expect(idsOf(equal, { topP: 0.01 })).to.deep.equal([0]);
    expect(idsOf(logsOf(1, 5, 3, 1), { topP: 0.7 })).to.deep.equal([1, 2]);
    expectProbabilities(candidates(logsOf(1, 5, 3, 1), { ...plain, topP: 0.7 }).probabilities, [5 / 8, 3 / 8]);
    expect(idsOf(logsOf(1, 5, 3, 1), { topP: 1 })).to.deep.equal([0, 1, 2, 3]);
  });

  it('measure the nucleus on what temperature and top-k left', () => {
    // 4, 3, 2, 1: top 2 gives 4/7 and 3/7; 4/7 ≥ .57 alone. Over all four it would be .4 and need two.
    expect(idsOf(logsOf(1, 4, 3, 2), { topK: 2, topP: 0.57 })).to.deep.equal([1]);
    expect(idsOf(logsOf(1, 4, 3, 2), { topP: 0.57 })).to.deep.equal([1, 2]);
    // Squared: 16/30 ≥ .5 alone.
    expect(idsOf(logsOf(1, 4, 3, 2), { temperature: 0.5, topP: 0.5 })).to.deep.equal([1]);
  });

  it('agree with a plain sort-everything nucleus', () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: -40, max: 40 }), { minLength: 1, maxLength: 30 }), fc.integer({ min: 1, max: 99 }), (tenths, percent) => {
      const logits = Float32Array.from(tenths, (z) => z / 10);
      const weights = [...logits].map(Math.exp);
      const total = weights.reduce((a, b) => a + b, 0);
      const order = weights.map((_, id) => id).sort((a, b) => weights[b]! - weights[a]! || a - b);
      const expected: number[] = [];
      let mass = 0;
      for (const id of order) {
        if (mass >= (percent + 0.123) / 100) break;
        expected.push(id);
        mass += weights[id]! / total;
      }
      expect(idsOf(logits, { topP: (percent + 0.123) / 100 })).to.deep.equal(expected.sort((a, b) => a - b));
    }));
  });

  it('agree with a plain sort-everything top k', () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 1, maxLength: 40 }), fc.integer({ min: 1, max: 45 }), (logits, k) => {
      const order = logits.map((_, id) => id).sort((a, b) => logits[b]! - logits[a]! || a - b);
      expect(idsOf(Float32Array.from(logits), { topK: k })).to.deep.equal(order.slice(0, k).sort((a, b) => a - b));
    }), { numRuns: 500 });
  });
});

describe('drawing', () => {
  it('inverts the cumulative distribution', () => {
    const logits = logsOf(1, 0, 2, 1);
    for (const [uniform, id] of [[0, 0], [0.2499, 0], [0.2501, 2], [0.7499, 2], [0.7501, 3], [1 - 2 ** -53, 3]] as const) {
      expect(sampleToken(logits, plain, uniform), `u = ${uniform}`).to.equal(id);
    }
  });

  it('never takes a token of probability 0, even where rounding leaves mass over', () => {
    expect(sampleToken(Float32Array.of(0, -2000), plain, 1 - 2 ** -53)).to.equal(0);
    expect(sampleToken(Float32Array.of(-2000, 0), plain, 0)).to.equal(1);
  });

  it('draws the frequencies it promises (chi-square, fixed seed)', () => {
    const weights = [1, 2, 3, 4, 6];
    const logits = logsOf(...weights);
    const uniform = minimalStandard(12_345);
    const draws = 20_000;
    const seen = weights.map(() => 0);
    for (let i = 0; i < draws; i++) seen[sampleToken(logits, plain, uniform())]! += 1;
    const chiSquare = weights.reduce((sum, weight, id) => sum + (seen[id]! - (draws * weight) / 16) ** 2 / ((draws * weight) / 16), 0);
    // 4 degrees of freedom: 18.47 is exceeded with probability 0.001; the seed is fixed, so this never flickers.
    expect(chiSquare, `counts ${seen.join(' ')}`).to.be.below(18.47);
  });
});

describe('repetition penalty', () => {
  it('divides positive and multiplies negative logits once, and leaves its input alone', () => {
    const logits = Float32Array.of(3, -2, 0, 5);
    expect([...penaliseRepetition(logits, new Set([0, 1, 2]), 2)]).to.deep.equal([1.5, -4, 0, 5]);
    expect([...logits]).to.deep.equal([3, -2, 0, 5]);
  });

  it('refuses foreign ids', () => {
    expect(() => penaliseRepetition(Float32Array.of(1), new Set([4]), 2)).to.throw(ShapeError, 'token id 4');
  });
});

describe('sampling options', () => {
  const bad: readonly [Partial<SamplingOptions>, string][] = [
    [{ temperature: -1 }, 'temperature must be 0 or more, found -1'], [{ temperature: NaN }, 'temperature'],
    [{ topK: 0 }, 'top-k'], [{ topK: 1.5 }, 'top-k'], [{ topP: 0 }, 'top-p'], [{ topP: 1.01 }, 'top-p'],
    [{ repetitionPenalty: 0 }, 'repetition penalty'],
  ];
  for (const [options, part] of bad) {
    it(`refuse ${JSON.stringify(options)}`, () => {
      expect(() => checkSamplingOptions({ ...plain, ...options })).to.throw(UsageError, part).with.property('exitCode', 2);
    });
  }

  it('accept the defaults and the limits', () => {
    checkSamplingOptions(plain);
    checkSamplingOptions({ repetitionPenalty: 1.2, temperature: 0, topK: 1, topP: 1 });
  });
});
