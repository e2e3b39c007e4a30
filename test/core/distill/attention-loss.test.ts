import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { alignmentTargets, attentionLoss } from '../../../src/core/distill/attention-loss.js';
import { alignedAttention } from '../../../src/core/ops/attention-alignment.js';
import { describeOnBackends, expectClose } from '../../support/backends.js';
import { HALF_LEAK, lossInputs, maps } from '../../support/loss-inputs.js';

const PROBABILITIES = [[1, 0], [0.25, 0.75]];
const DECOY = [[1, 0], [1, 0]];
const HOW = { gamma: 0.25, form: 'raw', layerMap: [1, 1], headMap: [1] } as const;

describeOnBackends('attention loss', () => {
  it('is the mean over the student’s layers of the losses its forward pass computed', async () => {
    const value = tf.tidy(() => attentionLoss(1, HOW).compute(lossInputs({ student: { alignment: [tf.scalar(3), tf.scalar(1), tf.scalar(0.5)] } })));
    expectClose(await value.data(), [1.5], { absolute: 1e-6 });
  });

  it('follows the layer and the head map', async () => {
    const attention = [maps(DECOY, DECOY), maps(DECOY, PROBABILITIES)].map((probabilities) => ({ kind: 'maps', probabilities }) as const);
    const targets = alignmentTargets(attention, HOW);
    const { loss, counts } = alignedAttention(
      { qkv: tf.zeros([2, 1, 2, 3]), gain: tf.ones([1]), distanceBias: tf.zeros([1, 2]), heads: 1 }, HALF_LEAK, targets(0));
    // No attention spike. Rates of the probabilities .5 and .5, probabilities 1, 1/4, 3/4; three causal entries.
    expectClose(await loss.data(), [(0.25 * 0.5 + 0.75 * 1.625) / 3], { absolute: 1e-6 });
    expectClose(await counts.data(), [0, 0], { absolute: 0 });
    expect(() => alignmentTargets(attention, { ...HOW, layerMap: [2] })(0)).to.throw('index 2 is outside a list of 2');
  });
});
