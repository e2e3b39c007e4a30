import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { startWasm } from '../../../../src/core/backend/wasm.js';
import { numbers } from '../../../support/kernel-cases.js';

describe('wasm kernels: exp and softmax', () => {
  before(startWasm);

  it('exp stays within 2.5e-7 of the exact value from −87 to 88.7', () => {
    const x = Float32Array.from({ length: 40_001 }, (_, i) => -87 + (i * 175.7) / 40_000);
    const y = tf.tidy(() => tf.exp(tf.tensor1d(x)).dataSync());
    const worst = x.reduce((most, v, i) => Math.max(most, Math.abs((y[i] ?? Number.NaN) / Math.exp(v) - 1)), 0);
    expect(worst).to.be.below(2.5e-7);
  });

  it('exp of the special values is that of IEEE arithmetic', () => {
    const y = tf.tidy(() => tf.exp(tf.tensor1d([0, Infinity, -Infinity, Number.NaN, 89, -104, 1000])).dataSync());
    expect([...y]).to.deep.equal([1, Infinity, 0, Number.NaN, Infinity, 0, Infinity]);
  });

  for (const width of [1, 3, 4, 17]) {
    it(`softmax of rows of ${width} sums to 1 and matches float64`, () => {
      const x = numbers(width).floats(5 * width, 30);
      const y = tf.tidy(() => tf.softmax(tf.tensor2d(x, [5, width])).dataSync());
      for (let r = 0; r < 5; r++) {
        const row = [...x.slice(r * width, (r + 1) * width)];
        const total = row.reduce((sum, v) => sum + Math.exp(v), 0);
        row.forEach((v, c) => expect(y[r * width + c]).to.be.closeTo(Math.exp(v) / total, 3e-7));
      }
    });
  }
});
