import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { expect } from 'chai';

import { createRandom } from '../../../src/core/corpus/random.js';
import { ridgeRegression, solvePositiveDefinite } from '../../../src/core/student/ridge.js';
import { expectClose } from '../../support/backends.js';

describe('ridge regression', () => {
  before(async () => { await tf.setBackend('cpu'); });

  it('solves a 2 x 2 system worked by hand: [[4, 2], [2, 3]] x = [2, 5] gives [-0.5, 2]', () => {
    const x = solvePositiveDefinite(Float64Array.of(4, 2, 2, 3), Float64Array.of(2, 5), { size: 2, columns: 1 });
    expectClose(x, [-0.5, 2], { absolute: 1e-12 });
  });

  it('refuses a matrix that is not positive definite', () => {
    expect(() => solvePositiveDefinite(Float64Array.of(1, 2, 2, 1), Float64Array.of(1, 1), { size: 2, columns: 1 })).to.throw(RangeError, /not positive definite/);
  });

  it('with next to no penalty recovers the weights and the intercept of a noiseless line', async () => {
    const random = createRandom(3);
    const x = tf.tensor2d(Float32Array.from({ length: 200 * 3 }, () => random.normal()), [200, 3]);
    const y = tf.add(tf.matMul(x, tf.tensor2d([1, 0, -2, 3, 0.5, 0.25], [3, 2])), tf.tensor1d([7, -1])) as tf.Tensor2D;
    const { weight, bias } = await ridgeRegression(x, y, 1e-7);
    expectClose(weight, [1, 0, -2, 3, 0.5, 0.25], { absolute: 1e-4 });
    expectClose(bias, [7, -1], { absolute: 1e-4 });
  });

  it('one input, by hand: x = ±1, y = ±3, penalty = the diagonal, halves the slope', async () => {
    const fit = await ridgeRegression(tf.tensor2d([1, -1], [2, 1]), tf.tensor2d([3, -3], [2, 1]), 1);
    expectClose(fit.weight, [1.5], { absolute: 1e-6 }); // 6 / (2 + 2)
  });

  it('an input that never fires gets weight 0 instead of a singular matrix', async () => {
    const fit = await ridgeRegression(tf.tensor2d([1, 0, 0, 0, 1, 0, 0, 0], [4, 2]), tf.tensor2d([2, 0, 2, 0], [4, 1]), 1e-6);
    expectClose(fit.weight, [2, 0], { absolute: 1e-4 });
  });
});
