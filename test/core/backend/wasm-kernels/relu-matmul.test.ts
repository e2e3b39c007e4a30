import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { affine, reluAffine } from '../../../../src/core/ops/affine.js';
import { prepareBackend } from '../../../../src/core/pipeline/prepare-backend.js';
import { callKernel, numbers } from '../../../support/kernel-cases.js';
import type { MultiplyAdd } from '../../../support/product-reference.js';
import { product, roundedOnce, roundedTwice } from '../../../support/product-reference.js';

const call = (x: ArrayLike<number>, w: ArrayLike<number>, b: ArrayLike<number>): number[] => {
  const [m, k] = [x.length / (w.length / b.length), w.length / b.length];
  const inputs = { x: { values: Float32Array.from(x), shape: [m, k] }, w: { values: Float32Array.from(w), shape: [k, b.length] }, b: { values: Float32Array.from(b), shape: [b.length] } };
  return [...(callKernel('BispikReluMatMul', inputs)[0]?.values ?? [])];
};

describe('wasm kernels: product with what is above 0', () => {
  let multiplyAdd: MultiplyAdd;
  before(async () => {
    const { device } = await prepareBackend('wasm');
    multiplyAdd = device.includes('fused multiply-add') ? roundedOnce : roundedTwice;
  });

  const sizes = [[1, 1, 1], [3, 7, 5], [65, 32, 64], [70, 33, 130], [300, 40, 17], [2, 3, 200], [129, 66, 96], [5, 16, 70], [4, 20, 65]] as const;
  for (const [m, n, k] of sizes) {
    for (const rate of [0, 0.15, 1]) {
      it(`(${m}, ${k})·(${k}, ${n}) with ${rate * 100} % above 0 equals all sums in ascending order bit for bit`, () => {
        const random = numbers(m + n + k);
        const x = random.floats(m * k).map((value) => (random.uniform() < rate ? 1 : -1) * Math.abs(value));
        const [w, b] = [random.floats(k * n), random.floats(n)];
        const sums = product(x.map((value) => Math.max(value, 0)), w, { size: [m, n, k], multiplyAdd });
        expect(call(x, w, b)).to.deep.equal(Array.from(sums, (sum, at) => Math.fround(sum + (b[at % n] as number))));
      });
    }
  }

  it('a small case by hand: 0 and -0 count for nothing, infinities and what is no number are passed on', () => {
    expect(call([2, -3, 0.5, -0, -1, -2], [1, 10, 100, 1000, 4, 8], [0.25, -1])).to.deep.equal([2 + 2 + 0.25, 20 + 4 - 1, 0.25, -1]);
    expect(call([Infinity, -Infinity, 1], [1, 5, 5], [0])).to.deep.equal([Infinity]);
    expect(call([NaN, 1, -1], [1, 1, 1], [0])).to.deep.equal([NaN]);
  });

  it('names the tensor that does not fit', () => {
    const of = (...shape: number[]) => ({ values: new Float32Array(shape.reduce((p, q) => p * q, 1)), shape });
    expect(() => callKernel('BispikReluMatMul', { x: of(2, 3), w: of(4, 5), b: of(5) })).to.throw(/w has the shape \[4, 5\]|w .*\[3, 5\]/);
    expect(() => callKernel('BispikReluMatMul', { x: of(2, 3), w: of(3, 5), b: of(4) })).to.throw(/b .*\[5\]/);
  });

  it('reluAffine: the same bits whether its operations are recorded or not, and the gradients of the two it is made of', () => {
    const random = numbers(9);
    const [x, w, b] = [tf.tensor2d(random.floats(7 * 40), [7, 40]), tf.tensor2d(random.floats(40 * 19), [40, 19]), tf.tensor1d(random.floats(19))];
    const gradientsOf = (run: (x: tf.Tensor2D, w: tf.Tensor2D, b: tf.Tensor1D) => tf.Tensor) =>
      tf.valueAndGrads((...[p, q, r]) => tf.sum(tf.square(run(p as tf.Tensor2D, q as tf.Tensor2D, r as tf.Tensor1D))) as tf.Scalar)([x, w, b]);
    const [fused, composed] = [gradientsOf(reluAffine), gradientsOf((p, q, r) => affine(tf.relu(p), q, r))];
    fused.grads.forEach((gradient, i) => { expect([...gradient.dataSync()]).to.deep.equal([...(composed.grads[i] as tf.Tensor).dataSync()]); });
    expect([...reluAffine(x, w, b).dataSync()]).to.deep.equal([...affine(tf.relu(x), w, b).dataSync()]);
  });
});
