import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { embeddingLoss } from '../../../src/core/distill/embedding-loss.js';
import type { FeatureAlignment } from '../../../src/core/distill/feature-loss.js';
import { featureLoss } from '../../../src/core/distill/feature-loss.js';
import { describeOnBackends, expectClose } from '../../support/backends.js';
import { HALF_LEAK, lossInputs } from '../../support/loss-inputs.js';

const stream = (...values: number[]): tf.Tensor3D => tf.tensor3d(values, [1, values.length / 2, 2]);
const how: FeatureAlignment = { neuron: HALF_LEAK, gamma: 0.25, form: 'normalised', layerMap: [0], project: (x) => x, matrices: [] };

describeOnBackends('feature loss', () => {
  it('normalised, by hand: [3, 1] and [0, 2] become [1, −1] and [−1, 1], whatever their scale', async () => {
    const value = tf.tidy(() => featureLoss(1, how).compute(lossInputs({ student: { hidden: [stream(3, 1, 9, 1)] }, teacher: { hidden: [stream(0, 2, 7, 3)] } })));
    expectClose(await value.data(), [2], { absolute: 1e-4 }); // row 0: 4, row 1: 0
  });

  it('projected, by hand: LN gives [1, −1]; the target [1, ¼] fires at [½, 0]', async () => {
    const value = tf.tidy(() => featureLoss(1, { ...how, form: 'projected' }).compute(lossInputs({ student: { hidden: [stream(3, 1)] }, teacher: { hidden: [stream(1, 0.25)] } })));
    expectClose(await value.data(), [0.25 * 0.625 + 0.75 * 0.78125], { absolute: 1e-4 }); // (.25 + 1)/2 and (0 + 1.5625)/2
  });

  it('projects the student before it is compared', async () => {
    const swap: FeatureAlignment = { ...how, project: (x) => tf.reverse(x, 2) };
    const value = tf.tidy(() => featureLoss(1, swap).compute(lossInputs({ student: { hidden: [stream(3, 1)] }, teacher: { hidden: [stream(0, 2)] } })));
    expectClose(await value.data(), [0], { absolute: 1e-6 });
  });

  it('follows the layer map and averages over the student’s layers', async () => {
    const inputs = lossInputs({ student: { hidden: [stream(3, 1), stream(1, 3)] }, teacher: { hidden: [stream(5, 5), stream(5, 5), stream(0, 2)] } });
    const value = tf.tidy(() => featureLoss(1, { ...how, layerMap: [2, 2] }).compute(inputs));
    expectClose(await value.data(), [2], { absolute: 1e-4 }); // 4 and 0
    expect(() => featureLoss(1, { ...how, layerMap: [3, 3] }).compute(inputs)).to.throw('student layer 0 is mapped to a teacher layer that does not exist');
  });
});

describeOnBackends('embedding loss', () => {
  it('is the mean squared error, by hand: [1, 2] against [0, 4] is (1 + 4)/2, with gradient [1, −2]', async () => {
    const term = embeddingLoss(1, (x) => x);
    const [value, gradient] = tf.tidy(() => {
      const { value: loss, grad } = tf.valueAndGrad((x) => term.compute(lossInputs({ student: { embedding: x as tf.Tensor3D }, teacher: { embedding: stream(0, 4) } })))(stream(1, 2));
      return [loss, grad];
    }) as [tf.Tensor, tf.Tensor];
    expectClose(await value.data(), [2.5], { absolute: 1e-6 });
    expectClose(await gradient.data(), [1, -2], { absolute: 1e-6 });
  });
});
