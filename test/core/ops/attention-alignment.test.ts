import * as tf from '@tensorflow/tfjs-core';

import { mapLoss } from '../../../src/core/ops/attention-alignment.js';
import { describeOnBackends, expectClose } from '../../support/backends.js';
import { HALF_LEAK, maps } from '../../support/loss-inputs.js';

const how = { neuron: HALF_LEAK, gamma: 0.25, form: 'raw' } as const;
const SPIKES = [[0.5, 0], [0.5, 1]];
const PROBABILITIES = [[1, 0], [0.25, 0.75]];

/** Value and gradient with respect to the student's map. */
function evaluate(map: tf.Tensor4D, comparison: Parameters<typeof mapLoss>[2]): { value: tf.Scalar; gradient: tf.Tensor4D } {
  const [value, gradient] = tf.tidy(() => {
    const { value: loss, grad } = tf.valueAndGrad((x) => mapLoss(x as tf.Tensor4D, maps(PROBABILITIES), comparison))(map);
    return [loss, grad];
  }) as [tf.Scalar, tf.Tensor4D];
  return { value, gradient };
}

describeOnBackends('attention loss on a 2 x 2 map', () => {
  it('raw, by hand: the probabilities fire at [[.5, 0], [0, .5]]; (.25·.5 + .75·.375) / 3 causal entries', async () => {
    const { value, gradient } = evaluate(maps(SPIKES), how);
    expectClose(await value.data(), [0.40625 / 3], { absolute: 1e-6 });
    // 2/3·(.25·(map − rate) + .75·(map − probability)): 2/3·(0 − .375), 2/3·(.125 + .1875) twice
    expectClose(await gradient.data(), [-0.25, 0, 0.625 / 3, 0.625 / 3], { absolute: 1e-6 });
  });

  it('row-normalised, by hand: rows [1, 0] and [1/3, 2/3] against rates [1, 0], [0, 1] and the probabilities', async () => {
    const { value } = evaluate(maps(SPIKES), { ...how, form: 'row-normalised' });
    expectClose(await value.data(), [(0.25 * (2 / 9) + 0.75 * (1 / 72)) / 2], { absolute: 1e-6 });
  });

  it('row-normalised: a silent row is a row of zeros, and its gradient is no larger than that of one spike', async () => {
    const { value, gradient } = evaluate(maps([[0, 0], [0, 0]]), { ...how, form: 'row-normalised' });
    // Rate: 1 + 1, direct: 1 + (1/16 + 9/16), over 2 rows. A row is divided by at least one spike, 1/T = 1/2.
    expectClose(await value.data(), [(0.25 * 2 + 0.75 * 1.625) / 2], { absolute: 1e-6 });
    expectClose(await gradient.data(), [-2, 0, -0.75 * 0.25 * 2, -(0.25 + 0.75 * 0.75) * 2], { absolute: 1e-5 });
  });
});
