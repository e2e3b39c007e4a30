import type * as tf from '@tensorflow/tfjs-core';

import { spikeLinear } from '../../../src/core/ops/spike-linear.js';
import { describeOnBackends, expectClose } from '../../support/backends.js';
import { evaluateOperation } from '../../support/finite-differences.js';

describeOnBackends('product with spikes', () => {
  it('by hand: adds the rows of the matrix whose neuron fired, and the bias', async () => {
    // T 2, N 1, C 3 → M 2: step 0 fires neurons 0 and 2, step 1 none.
    const inputs = [{ values: [1, 0, 1, 0, 0, 0], shape: [2, 1, 3] }, { values: [1, 2, 10, 20, 100, 200], shape: [3, 2] }, { values: [0.5, -0.5], shape: [2] }];
    const { value, gradients } = await evaluateOperation((s, w, b) => spikeLinear(s as tf.Tensor3D, w as tf.Tensor2D, b as tf.Tensor1D), inputs, [1, 2, 3, 4]);
    expectClose(value, [101.5, 201.5, 0.5, -0.5], { absolute: 1e-4 });
    const [dSpikes, dWeight, dBias] = gradients as [Float32Array, Float32Array, Float32Array];
    expectClose(dSpikes, [5, 50, 500, 11, 110, 1100], { absolute: 1e-3 }); // (1, 2)·rows, then (3, 4)·rows: silent neurons get theirs too
    expectClose(dWeight, [1, 2, 0, 0, 1, 2], { absolute: 1e-5 });
    expectClose(dBias, [4, 6], { absolute: 1e-5 });
  });
});
