import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { startWasm } from '../../../../src/core/backend/wasm.js';
import { numbers } from '../../../support/kernel-cases.js';

type Expression = (x: tf.Tensor) => tf.Tensor | tf.Tensor[];

function evaluate(expression: Expression, shape: readonly number[]): { shape: number[]; values: number[] }[] {
  return tf.tidy(() => {
    const x = tf.tensor(numbers(shape.length).floats(shape.reduce((p, q) => p * q, 1)), [...shape]);
    const result = expression(x);
    return (Array.isArray(result) ? result : [result]).map((y) => ({ shape: y.shape, values: [...y.dataSync()] }));
  });
}

/** The same expression on the JavaScript kernels of TensorFlow.js. */
async function expectLikeCpu(expression: Expression, shape: readonly number[]): Promise<void> {
  await tf.setBackend('cpu');
  const expected = evaluate(expression, shape);
  await tf.setBackend('wasm');
  expect(evaluate(expression, shape)).to.deep.equal(expected);
}

const CASES: readonly (readonly [string, readonly number[], Expression])[] = [
  ['gather rows', [7, 5], (x) => tf.gather(x, tf.tensor1d([3, 0, 6, 3], 'int32'))],
  ['gather with indices of two axes', [7, 5], (x) => tf.gather(x, tf.tensor2d([[3, 0], [6, 3]], [2, 2], 'int32'))],
  ['gather along a middle axis', [3, 4, 6], (x) => tf.gather(x, tf.tensor1d([2, 2, 0], 'int32'), 1)],
  ['gather along the last axis', [3, 9], (x) => tf.gather(x, tf.tensor1d([8, 1], 'int32'), -1)],
  ['gather with batches', [2, 4, 3], (x) => tf.gather(x, tf.tensor2d([[1], [3]], [2, 1], 'int32'), 1, 1)],
  ['gather with batches and an outer axis', [2, 3, 4, 2], (x) => tf.gather(x, tf.tensor2d([[1, 0], [3, 3]], [2, 2], 'int32'), 2, 1)],
  ['tile one axis', [3, 5], (x) => tf.tile(x, [1, 4])],
  ['tile single numbers', [3, 5, 1], (x) => tf.tile(x, [1, 1, 11])],
  ['tile single numbers of every axis', [1, 1], (x) => tf.tile(x, [3, 8])],
  ['tile several axes', [2, 3, 5], (x) => tf.tile(x, [3, 1, 2])],
  ['tile nothing', [2, 3], (x) => tf.tile(x, [1, 1])],
  ['slice rows', [9, 5], (x) => tf.slice(x, [2, 0], [4, -1])],
  ['slice columns', [4, 11], (x) => tf.slice(x, [0, 3], [4, 7])],
  ['slice a middle axis', [2, 5, 3], (x) => tf.slice(x, [0, 1, 0], [2, 3, 3])],
  ['slice everything', [2, 5], (x) => tf.slice(x, [0, 0], [2, 5])],
  ['slice two axes (standard kernel)', [4, 5], (x) => tf.slice(x, [1, 1], [2, 3])],
  ['split columns evenly', [3, 12], (x) => tf.split(x, 3, 1)],
  ['split rows unevenly', [7, 2], (x) => tf.split(x, [1, 4, 2], 0)],
  ['unstack the first axis', [3, 2, 5], (x) => tf.unstack(x)],
  ['unstack the last axis', [2, 3, 4], (x) => tf.unstack(x, 2)],
  ['transpose a matrix', [6, 9], (x) => tf.transpose(x)],
  ['transpose matrices of a batch', [3, 5, 4], (x) => tf.transpose(x, [0, 2, 1])],
  ['transpose other axes (standard kernel)', [3, 5, 4], (x) => tf.transpose(x, [1, 0, 2])],
  ['greater or equal, tensor', [5, 7], (x) => tf.greaterEqual(x, tf.reverse(x, 0))],
  ['greater or equal, scalar', [3, 13], (x) => tf.greaterEqual(x, 0.1)],
  ['greater or equal, broadcast (standard kernel)', [3, 4], (x) => tf.greaterEqual(x, tf.tensor1d([0, 0.5, -0.5, 1]))],
  ['less, tensor', [5, 7], (x) => tf.less(x, tf.reverse(x, 0))],
  ['less, scalar', [3, 13], (x) => tf.less(x, 0.1)],
  ['maximum, tensor', [3, 7], (x) => tf.maximum(x, tf.neg(x))],
  ['maximum, scalar', [3, 5], (x) => tf.maximum(x, 0.25)],
];

describe('wasm kernels: layout and comparisons', () => {
  before(startWasm);
  after(() => tf.setBackend('wasm'));

  for (const [title, shape, expression] of CASES) {
    it(`${title} of [${shape.join(', ')}] equals the JavaScript kernel`, () => expectLikeCpu(expression, shape));
  }

  it('gather refuses an index outside the axis and keeps nothing', () => {
    const before = tf.memory().numTensors;
    expect(() => tf.tidy(() => tf.gather(tf.zeros([3, 2]), tf.tensor1d([0, 3], 'int32')))).to.throw('position 1 is not in [0, 2]');
    expect(tf.memory().numTensors).to.equal(before);
  });

  it('a clone shares the memory of its original and outlives it', () => {
    const [tensors, buffers] = [tf.memory().numTensors, tf.memory().numDataBuffers];
    const original = tf.tensor1d([1, 2, 3]);
    const clone = tf.clone(original);
    expect(tf.memory().numDataBuffers).to.equal(buffers + 1);
    original.dispose();
    expect([...clone.dataSync()]).to.deep.equal([1, 2, 3]);
    clone.dispose();
    expect(tf.memory().numTensors).to.equal(tensors);
    expect(tf.memory().numDataBuffers).to.equal(buffers);
  });

  it('maximum keeps NaN', () => {
    expect(tf.tidy(() => tf.maximum(tf.tensor1d([Number.NaN, 1]), 0).dataSync())[0]).to.be.NaN;
  });

  it('greater or equal with equal values is true, with NaN false; less the other way round, but for NaN', () => {
    const y = tf.tidy(() => tf.greaterEqual(tf.tensor1d([1, Number.NaN, 0.5]), tf.scalar(1)).dataSync());
    expect([...y]).to.deep.equal([1, 0, 0]);
    const z = tf.tidy(() => tf.less(tf.tensor1d([1, Number.NaN, 0.5]), tf.scalar(1)).dataSync());
    expect([...z]).to.deep.equal([0, 0, 1]);
  });
});
