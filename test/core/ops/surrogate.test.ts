import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';

import { surrogateDerivative } from '../../../src/core/ops/surrogate.js';
import { expectClose } from '../../support/backends.js';

/** Primitives whose derivative the surrogates are; worked out by hand. */
const primitives = {
  atan: (x: number, a: number) => Math.atan((Math.PI / 2) * a * x) / Math.PI,
  sigmoid: (x: number, a: number) => 1 / (1 + Math.exp(-a * x)),
  triangle: (x: number, a: number) => (Math.abs(x) >= 1 / a ? Math.sign(x) / 2 : a * x - (Math.sign(x) * a * a * x * x) / 2),
};
const xs = [-2, -0.7, -0.3, -0.11, 0.05, 0.1, 0.25, 0.5, 0.8, 2];

describe('surrogate derivatives', () => {
  before(async () => { await tf.setBackend('cpu'); });

  it('arctan with alpha 2 has the tabulated values', () => {
    const values = surrogateDerivative(tf.tensor1d([0, 0.1, 0.25, 0.5, 1, -1, 2]), 'atan', 2).dataSync();
    expectClose(values, [1, 0.91017, 0.618486, 0.2884, 0.092, 0.092, 0.024705], { absolute: 1e-5 });
  });

  for (const kind of ['atan', 'sigmoid', 'triangle'] as const) {
    it(`${kind}: the derivative is the finite difference of its primitive`, () => {
      for (const alpha of [1, 2, 4]) {
        const step = 1e-5;
        const expected = xs.map((x) => (primitives[kind](x + step, alpha) - primitives[kind](x - step, alpha)) / (2 * step));
        expectClose(surrogateDerivative(tf.tensor1d(xs), kind, alpha).dataSync(), expected, { absolute: 2e-4 }, `alpha ${alpha}`);
      }
    });
  }
});
