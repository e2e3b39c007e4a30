import { expect } from 'chai';

import * as tf from '@tensorflow/tfjs-core';

import { meanOver, scaledSum, squaredError } from '../../../src/core/ops/reduce.js';
import { unrecorded } from '../../../src/core/ops/unrecorded.js';
import { describeOnBackends, expectClose } from '../../support/backends.js';

describeOnBackends('reductions with gradients of their own', () => {
  it('scaledSum repeats the scaled gradient over the axes it summed', async () => {
    const x = tf.tensor3d([1, 2, 3, 4, 5, 6, 7, 8], [2, 2, 2]);
    const { value, grad } = tf.valueAndGrad((y) => tf.sum(tf.mul(scaledSum(y, [1], 0.5), tf.tensor2d([1, 2, 3, 4], [2, 2]))) as tf.Scalar)(x);
    // Sums over axis 1: 4, 6 | 12, 14; halves weighted by 1, 2 | 3, 4.
    expectClose(await value.data(), [2 + 6 + 18 + 28], { absolute: 1e-5 });
    expectClose(await grad.data(), [0.5, 1, 0.5, 1, 1.5, 2, 1.5, 2], { absolute: 1e-6 });
    tf.dispose([x, value, grad]);
  });

  it('meanOver divides by the number of elements, forward and backward', async () => {
    const x = tf.tensor2d([1, 2, 3, 6], [2, 2]);
    const { value, grad } = tf.valueAndGrad((y) => tf.sum(meanOver(y, [0])) as tf.Scalar)(x);
    expectClose(await value.data(), [6], { absolute: 1e-5 });
    expectClose(await grad.data(), [0.5, 0.5, 0.5, 0.5], { absolute: 1e-6 });
    tf.dispose([x, value, grad]);
  });

  it('squaredError: 0.5 · (1² + 2²), gradient 2 · 0.5 · difference', async () => {
    const [x, target] = [tf.tensor1d([2, 5]), tf.tensor1d([1, 3])];
    const { value, grad } = tf.valueAndGrad((y) => squaredError(y, target, 0.5))(x);
    expectClose(await value.data(), [2.5], { absolute: 1e-6 });
    expectClose(await grad.data(), [1, 2], { absolute: 1e-6 });
    tf.dispose([x, target, value, grad]);
  });

  it('unrecorded values are constants, belong to the tidy and leave nothing behind', async () => {
    const x = tf.tensor1d([3]);
    const before = tf.memory().numTensors;
    const { value, grad } = tf.valueAndGrad((y) => {
      const [square] = unrecorded(() => [tf.square(y)]);
      return tf.sum(tf.mul(y, square as tf.Tensor)) as tf.Scalar;
    })(x);
    expectClose(await value.data(), [27], { absolute: 1e-5 });
    expectClose(await grad.data(), [9], { absolute: 1e-5 });
    tf.dispose([value, grad]);
    expect(tf.memory().numTensors).to.equal(before);
    x.dispose();
  });
});
