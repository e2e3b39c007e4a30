import { expect } from 'chai';

import { learningRateAt } from '../../../src/core/train/schedule.js';

describe('train/schedule', () => {
  const settings = { steps: 12, learningRate: 0.8, warmupSteps: 4, finalLearningRateFraction: 0.25 };

  it('rises linearly, then follows half a cosine down to its last fraction', () => {
    // Progress 1/4, 1/2, 3/4, 1 of the cosine: 0.2 + 0.6·(1 + cos)/2 with cos = √½, 0, −√½, −1.
    const expected = [[1, 0.2], [2, 0.4], [4, 0.8], [6, 0.2 + 0.3 * (1 + Math.SQRT1_2)], [8, 0.5], [10, 0.2 + 0.3 * (1 - Math.SQRT1_2)], [12, 0.2]] as const;
    for (const [step, rate] of expected) expect(learningRateAt(step, settings), `step ${step}`).to.be.closeTo(rate, 1e-15);
  });

  it('starts below the peak without a warm-up and ends at 0 where the last fraction is 0', () => {
    const plain = { steps: 2, learningRate: 1, warmupSteps: 0, finalLearningRateFraction: 0 };
    expect(learningRateAt(1, plain)).to.be.closeTo(0.5, 1e-15);
    expect(learningRateAt(2, plain)).to.be.closeTo(0, 1e-15);
  });

  it('stays at the end when a warm-up fills the whole run', () => {
    expect(learningRateAt(3, { ...settings, steps: 3, warmupSteps: 3 })).to.equal(0.8);
  });
});
