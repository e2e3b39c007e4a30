import { expect } from 'chai';

import { adaptiveNgramLosses } from '../../../src/core/eval/adaptive-ngram.js';

const meanNll = (...probabilities: number[]): number => probabilities.reduce((sum, p) => sum - Math.log(p), 0) / probabilities.length;

describe('adaptive n-gram losses', () => {
  it('are as worked by hand over four tokens', () => {
    // Targets 1, 0, 1. Unigram: 1/4; (0 + 1/4)/2 = 1/8; (1 + 2/4)/4 = 3/8.
    // Bigram: after 0 nothing seen 1/4; after 1 nothing seen 1/8; after 0 once 1: (1 + 3/8)/2 = 11/16.
    const { unigramNll, bigramNll } = adaptiveNgramLosses([[0, 1, 0, 1]], 4);
    expect(unigramNll).to.be.closeTo(meanNll(1 / 4, 1 / 8, 3 / 8), 1e-12);
    expect(bigramNll).to.be.closeTo(meanNll(1 / 4, 1 / 8, 11 / 16), 1e-12);
  });

  it('carry counts over sequences without pairing their ends', () => {
    // The target 1 of the second sequence follows 2, a context never seen.
    const { unigramNll, bigramNll } = adaptiveNgramLosses([Int32Array.of(0, 1), [2, 1]], 4);
    expect(unigramNll).to.be.closeTo(meanNll(1 / 4, 5 / 8), 1e-12);
    expect(bigramNll).to.be.closeTo(meanNll(1 / 4, 5 / 8), 1e-12);
  });

  it('predict a proper distribution at every step', () => {
    const past = [3, 1, 4, 1, 2, 4, 0, 4, 4, 1];
    const before = adaptiveNgramLosses([past], 6);
    for (const key of ['unigramNll', 'bigramNll'] as const) {
      let mass = 0;
      for (let id = 0; id < 6; id++) {
        const after = adaptiveNgramLosses([[...past, id]], 6);
        mass += Math.exp(-(after[key] * past.length - before[key] * (past.length - 1)));
      }
      expect(mass, key).to.be.closeTo(1, 1e-10);
    }
  });

  it('converge to the entropies of a cycle: log 3 and 0', () => {
    const ids = Array.from({ length: 30_000 }, (_, i) => i % 3);
    const { unigramNll, bigramNll } = adaptiveNgramLosses([ids], 100);
    expect(unigramNll).to.be.closeTo(Math.log(3), 0.01);
    expect(bigramNll).to.be.within(0, 0.01);
  });
});
