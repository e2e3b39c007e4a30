import type * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { ShapeError } from '../../src/core/errors.js';
import { prepareBackend } from '../../src/core/pipeline/prepare-backend.js';
import { callKernel, numbers, relativeDifference } from '../support/kernel-cases.js';
import { ALL_NEURONS, neuronForward } from '../support/lif-reference.js';

/** Numbers on and below the diagonal of every map, 0 above it. */
function causal(values: Float32Array, length: number): Float32Array {
  return values.map((value, at) => (at % length <= Math.floor(at / length) % length ? value : 0));
}

describe('kernels: causal maps (wasm)', () => {
  before(() => prepareBackend('wasm'));

  for (const length of [1, 2, 5, 8, 13, 66]) {
    it(`softmax up to the diagonal, ${length} tokens, in float64; what lies beyond is not looked at`, () => {
      const shape = [2, 3, length, length];
      const random = numbers(length);
      const scores = random.floats(6 * length ** 2, 20).map((value, at) => (at % length > Math.floor(at / length) % length ? Number.NaN : value));
      const [found] = callKernel('BispikCausalSoftmax', { x: { values: scores, shape } }, { divisor: 3 });
      const expected = Array.from(scores, (_, at) => {
        const [row, key] = [Math.floor(at / length), at % length];
        const seen = [...scores.slice(row * length, row * length + (row % length) + 1)].map((score) => Math.exp((score - 20) / 3));
        return key > row % length ? 0 : (seen[key] as number) / seen.reduce((sum, e) => sum + e, 0);
      });
      expect(found?.shape).to.deep.equal(shape);
      expect(relativeDifference(found?.values ?? [], expected)).to.be.below(1e-6);
      expected.forEach((value, at) => { if (value === 0) expect(found?.values[at]).to.equal(0); });
    });
  }

  ALL_NEURONS.forEach((neuron, i) => {
    const length = [1, 3, 8, 9, 18][i % 5] ?? 1;
    const timeSteps = 1 + (i % 4);
    it(`loss of ${length} tokens and its gradient, by scalar neurons in float64: ${neuron.reset} reset, T = ${timeSteps}`, () => {
      const [shape, random] = [[2, 1, length, length], numbers(i)];
      const [x, target] = [causal(random.floats(2 * length ** 2), length), causal(random.floats(2 * length ** 2).map(Math.abs), length)];
      const inputs = { x: { values: x, shape }, target: { values: target, shape } };
      const attrs = { ...neuron, timeSteps, rateFactor: 0.25, factor: 0.5 };
      const rates = Array.from(target, (p) => neuronForward(new Array<number>(timeSteps).fill(p), attrs).s.reduce((sum, s) => sum + s, 0) / timeSteps);
      const loss = x.reduce((sum, value, at) => sum + 0.25 * (value - (rates[at] as number)) ** 2 + 0.5 * (value - (target[at] as number)) ** 2, 0);
      const [found] = callKernel('BispikMapLoss', inputs, attrs);
      expect(found?.shape).to.deep.equal([]);
      expect(found?.values[0]).to.be.closeTo(loss, 1e-6 * loss);
      const [gradient] = callKernel('BispikMapLossGrad', { ...inputs, dy: { values: Float32Array.of(3), shape: [] } }, attrs);
      const slopes = Array.from(x, (value, at) => 3 * (0.5 * (value - (rates[at] as number)) + (value - (target[at] as number))));
      expect(gradient?.shape).to.deep.equal(shape);
      expect(relativeDifference(gradient?.values ?? [], slopes)).to.be.below(1e-6);
    });
  });

  it('refuses maps that are not square and targets of another shape', () => {
    const maps = (...shape: number[]) => ({ values: new Float32Array(shape.reduce((size, extent) => size * extent, 1)), shape });
    expect(() => callKernel('BispikCausalSoftmax', { x: maps(1, 1, 2, 3) }, { divisor: 1 })).to.throw(ShapeError, 'x is float32 [1, 1, 2, 3]');
    const attrs = { ...ALL_NEURONS[0], rateFactor: 1, factor: 1 } as unknown as tf.NamedAttrMap;
    expect(() => callKernel('BispikMapLoss', { x: maps(1, 1, 2, 2), target: maps(1, 2, 2, 2) }, attrs)).to.throw(ShapeError, 'target');
    expect(() => callKernel('BispikMapLossGrad', { x: maps(1, 1, 2, 2), target: maps(1, 1, 2, 2), dy: maps(2) }, attrs)).to.throw(ShapeError, 'dy');
  });
});
