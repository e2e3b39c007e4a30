import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { startWasm } from '../../../../src/core/backend/wasm.js';

describe('wasm kernels: exp', () => {
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
});
