import type * as tf from '@tensorflow/tfjs-core';

import { attentionDensity } from '../../../src/core/ops/firing-rate.js';
import { describeOnBackends, expectClose } from '../../support/backends.js';
import { evaluateOperation } from '../../support/finite-differences.js';

describeOnBackends('firing rates', () => {
  it('of attention count causal pairs only: 3 spikes of 3 pairs in 2 time steps', async () => {
    const { value, gradients } = await evaluateOperation((counts) => attentionDensity(counts as tf.Tensor3D, 2), [{ values: [2, 1], shape: [1, 1, 2] }], [3]);
    expectClose(value, [0.5], { absolute: 1e-6 });
    expectClose(gradients[0] as Float32Array, [0.5, 0.5], { absolute: 1e-6 });
  });
});
