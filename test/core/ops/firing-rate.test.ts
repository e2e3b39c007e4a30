import type * as tf from '@tensorflow/tfjs-core';

import { attentionDensity } from '../../../src/core/ops/firing-rate.js';
import { describeOnBackends, expectClose } from '../../support/backends.js';
import { evaluateOperation } from '../../support/finite-differences.js';

describeOnBackends('firing rates', () => {
  it('of attention count causal pairs only: 1.5 spikes of 3 pairs', async () => {
    const { value, gradients } = await evaluateOperation((map) => attentionDensity(map as tf.Tensor4D), [{ values: [1, 0, 0.5, 0], shape: [1, 1, 2, 2] }], [3]);
    expectClose(value, [0.5], { absolute: 1e-6 });
    expectClose(gradients[0] as Float32Array, [1, 1, 1, 1], { absolute: 1e-6 });
  });
});
