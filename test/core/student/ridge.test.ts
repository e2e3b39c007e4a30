import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { expect } from 'chai';

import { createRandom } from '../../../src/core/corpus/random.js';
import { ridgeRegression, solvePositiveDefinite } from '../../../src/core/student/ridge.js';
import { oneGroup } from '../../../src/core/student/groups.js';
import { expectClose } from '../../support/backends.js';
import { inGroups } from '../../support/grouped.js';

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
    const { weight, bias } = await ridgeRegression({ x: oneGroup(x), y: oneGroup(y) }, 1e-7);
    expectClose(weight, [1, 0, -2, 3, 0.5, 0.25], { absolute: 1e-4 });
    expectClose(bias, [7, -1], { absolute: 1e-4 });
  });

  it('one input, by hand: x = ±1, y = ±3, penalty = the diagonal, halves the slope', async () => {
    const fit = await ridgeRegression({ x: oneGroup(tf.tensor2d([1, -1], [2, 1])), y: oneGroup(tf.tensor2d([3, -3], [2, 1])) }, 1);
    expectClose(fit.weight, [1.5], { absolute: 1e-6 }); // 6 / (2 + 2)
  });

  it('an input that never fires gets weight 0 instead of a singular matrix', async () => {
    const fit = await ridgeRegression({ x: oneGroup(tf.tensor2d([1, 0, 0, 0, 1, 0, 0, 0], [4, 2])), y: oneGroup(tf.tensor2d([2, 0, 2, 0], [4, 1])) }, 1e-6);
    expectClose(fit.weight, [2, 0], { absolute: 1e-4 });
  });

  it('rows in groups whose means lie far apart give the fit of all rows together, to 1e-6, and leave no tensor behind', async () => {
    const random = createRandom(11);
    const parts = [30, 7, 63];
    const far = (row: number): number => (row < 30 ? 0 : row < 37 ? 5 : -3);
    const x = tf.tensor2d(Float32Array.from({ length: 100 * 4 }, (_, i) => far(Math.floor(i / 4)) + random.normal()), [100, 4]);
    const y = tf.tensor2d(Float32Array.from({ length: 100 * 2 }, (_, i) => 2 * far(Math.floor(i / 2)) + random.normal()), [100, 2]);
    const before = tf.memory().numTensors;
    const [one, groups] = [await ridgeRegression({ x: oneGroup(x), y: oneGroup(y) }, 0.02), await ridgeRegression({ x: inGroups(x, parts), y: inGroups(y, parts) }, 0.02)];
    expect(tf.memory().numTensors).to.equal(before);
    // In float64, plainly.
    const [xs, ys] = [await x.array(), await y.array()];
    const mean = (rows: number[][], c: number): number => rows.reduce((sum, row) => sum + (row[c] as number), 0) / rows.length;
    const products = (a: number[][], i: number, b: number[][], j: number): number => a.reduce((sum, row, n) => sum + ((row[i] as number) - mean(a, i)) * (((b[n] as number[])[j] as number) - mean(b, j)), 0);
    const gram = Array.from({ length: 16 }, (_, i) => products(xs, Math.floor(i / 4), xs, i % 4));
    const lambda = (0.02 * (gram[0] as number + (gram[5] as number) + (gram[10] as number) + (gram[15] as number))) / 4;
    const exact = solvePositiveDefinite(Float64Array.from(gram, (value, i) => value + (i % 5 === 0 ? lambda : 0)), Float64Array.from({ length: 8 }, (_, i) => products(xs, i >> 1, ys, i % 2)), { size: 4, columns: 2 });
    for (const fit of [one, groups]) expectClose(fit.weight, exact, { absolute: 1e-6, relative: 1e-6 });
    expectClose(groups.bias, one.bias, { absolute: 1e-5 });
  });
});
