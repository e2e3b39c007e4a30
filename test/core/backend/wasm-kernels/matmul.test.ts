import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { startWasm } from '../../../../src/core/backend/wasm.js';
import { numbers } from '../../../support/kernel-cases.js';
import type { MultiplyAdd } from '../../../support/product-reference.js';
import { product, roundedOnce, roundedTwice } from '../../../support/product-reference.js';

describe('wasm kernels: matrix product', () => {
  let multiplyAdd: MultiplyAdd;
  before(async () => {
    const { device } = await startWasm();
    multiplyAdd = device.includes('fused multiply-add') ? roundedOnce : roundedTwice;
  });

  const sizes = [[1, 1, 1], [2, 3, 5], [6, 8, 4], [7, 9, 3], [13, 17, 31], [1, 40, 300], [100, 8, 257], [5, 530, 11], [97, 6, 2]] as const;
  for (const size of sizes) {
    it(`equals the sum in ascending order bit for bit: m, n, k = ${size.join(', ')}, all four transpositions`, () => {
      const [m, n, k] = size;
      const random = numbers(m + n + k);
      const [a, b] = [random.floats(m * k), random.floats(k * n)];
      const expected = [...product(a, b, { size, multiplyAdd })];
      tf.tidy(() => {
        const [A, B] = [tf.tensor2d(a, [m, k]), tf.tensor2d(b, [k, n])];
        const [At, Bt] = [tf.transpose(A), tf.transpose(B)];
        expect([...tf.matMul(A, B).dataSync()], 'A·B').to.deep.equal(expected);
        expect([...tf.matMul(At, B, true, false).dataSync()], 'Aᵀ·B').to.deep.equal(expected);
        expect([...tf.matMul(A, Bt, false, true).dataSync()], 'A·Bᵀ').to.deep.equal(expected);
        expect([...tf.matMul(At, Bt, true, true).dataSync()], 'Aᵀ·Bᵀ').to.deep.equal(expected);
      });
    });
  }

  it('gives one row alone the bits it has inside a batch', () => {
    tf.tidy(() => {
      const random = numbers(3);
      const [a, b] = [tf.tensor3d(random.floats(4 * 33 * 70), [4, 33, 70]), tf.tensor2d(random.floats(45 * 70), [45, 70])];
      const whole = tf.matMul(tf.reshape(a, [132, 70]), b, false, true).arraySync() as number[][];
      const row = tf.matMul(tf.reshape(tf.slice(a, [2, 7, 0], [1, 1, 70]), [1, 70]), b, false, true).arraySync() as number[][];
      expect(row[0]).to.deep.equal(whole[2 * 33 + 7]);
    });
  });

  it('broadcasts batches over either operand', () => {
    tf.tidy(() => {
      const random = numbers(4);
      const [a, b] = [random.floats(3 * 5 * 7), random.floats(2 * 7 * 9)];
      const y = tf.matMul(tf.tensor(a, [3, 1, 5, 7]), tf.tensor(b, [1, 2, 7, 9]));
      expect(y.shape).to.deep.equal([3, 2, 5, 9]);
      const values = y.dataSync();
      for (let i = 0; i < 3; i++) {
        for (let j = 0; j < 2; j++) {
          const expected = product(a.slice(i * 35, i * 35 + 35), b.slice(j * 63, j * 63 + 63), { size: [5, 9, 7], multiplyAdd });
          expect([...values.slice((i * 2 + j) * 45, (i * 2 + j + 1) * 45)]).to.deep.equal([...expected]);
        }
      }
    });
  });

  it('adds a fused bias last and leaves activations to the standard kernel', () => {
    tf.tidy(() => {
      const [a, b] = [tf.tensor2d([[1, -2]]), tf.tensor2d([[3, 1], [4, -1]])];
      const bias = tf.tensor1d([0.5, -8]);
      // (1·3 − 2·4 + .5, 1·1 + 2·1 − 8) = (−4.5, −5)
      expect([...tf.fused.matMul({ a, b, bias }).dataSync()]).to.deep.equal([-4.5, -5]);
      expect([...tf.fused.matMul({ a, b, bias, activation: 'relu' }).dataSync()]).to.deep.equal([0, 0]);
    });
  });

  it('propagates NaN and leaves nothing allocated', () => {
    const before = tf.memory().numTensors;
    const y = tf.tidy(() => tf.matMul(tf.tensor2d([[Number.NaN, 1]]), tf.tensor2d([[0], [1]])).dataSync());
    expect(y[0]).to.be.NaN;
    expect(tf.memory().numTensors).to.equal(before);
  });
});
