import type * as tf from '@tensorflow/tfjs-core';

import { attentionDensity, firingRates } from '../../../src/core/ops/firing-rate.js';
import { describeOnBackends, expectClose } from '../../support/backends.js';
import { evaluateOperation } from '../../support/finite-differences.js';

describeOnBackends('firing rates', () => {
  it('by hand: two groups of two channels over T 2, N 1', async () => {
    const { value, gradients } = await evaluateOperation((s) => firingRates(s as tf.Tensor3D, 2), [{ values: [1, 0, 0, 0, 1, 1, 0, 1], shape: [2, 1, 4] }], [8, 4]);
    expectClose(value, [0.75, 0.25], { absolute: 1e-6 });
    expectClose(gradients[0] as Float32Array, [2, 2, 1, 1, 2, 2, 1, 1], { absolute: 1e-6 });
  });

  it('of attention count causal pairs only: 1.5 spikes of 3 pairs', async () => {
    const { value, gradients } = await evaluateOperation((map) => attentionDensity(map as tf.Tensor4D), [{ values: [1, 0, 0.5, 0], shape: [1, 1, 2, 2] }], [3]);
    expectClose(value, [0.5], { absolute: 1e-6 });
    expectClose(gradients[0] as Float32Array, [1, 1, 1, 1], { absolute: 1e-6 });
  });
});
