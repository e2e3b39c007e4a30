import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { scaledSum } from '../../../src/core/ops/reduce.js';
import { reshape } from '../../../src/core/ops/reshape.js';
import { describeOnBackends } from '../../support/backends.js';

describeOnBackends('reshape', () => {
  it('passes values and gradients on and keeps nothing of its input for the backward pass', async () => {
    const shapes = [[6], [2, 3], [2, 3, 1]];
    const x = tf.tensor1d([1, 2, 3, 4, 5, 6]);
    const weights = tf.tensor3d([1, 0, 2, -1, 3, 5], [2, 3, 1]);
    const { value, grad } = tf.valueAndGrad((y) => tf.sum(tf.mul(shapes.reduce((z, shape) => reshape(z, shape), y), weights)) as tf.Scalar)(x);
    expect(Array.from(await value.data())).to.deep.equal([48]); // 1 + 0 + 6 − 4 + 15 + 30
    expect(Array.from(await grad.data())).to.deep.equal([1, 0, 2, -1, 3, 5]);
    let kept = Number.NaN;
    tf.dispose(tf.grad((y) => {
      const before = tf.memory().numDataBuffers;
      const negated = tf.neg(y);
      const seen = reshape(negated, [3, 2]);
      const sum = scaledSum<tf.Rank.R0>(seen, [0, 1], 1);
      tf.dispose([negated, seen]);
      kept = tf.memory().numDataBuffers - before;
      return sum;
    })(x));
    expect(kept, 'the sum alone; one more with tf.reshape').to.equal(1);
    tf.dispose([x, weights, value, grad]);
  });
});
