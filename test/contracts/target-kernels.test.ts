import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { ShapeError } from '../../src/core/errors.js';
import { describeOnOurKernels } from '../support/backends.js';
import { awaitKernel, numbers, relativeDifference } from '../support/kernel-cases.js';
import { ALL_NEURONS, neuronForward } from '../support/lif-reference.js';

describeOnOurKernels('kernels: rates of constant currents and squared errors', () => {
  ALL_NEURONS.forEach((neuron, i) => {
    const [timeSteps, size] = [1 + (i % 5), [1, 6, 16, 33][i % 4] ?? 1];
    it(`${size} rates are those of scalar neurons: ${neuron.reset} reset, T = ${timeSteps}`, async () => {
      const attrs = { ...neuron, timeSteps };
      const values = numbers(i).floats(size, 2.5);
      const expected = Array.from(values, (x) => Math.fround(neuronForward(new Array<number>(timeSteps).fill(x), attrs).s.reduce((sum, s) => sum + s, 0) / timeSteps));
      const [rates] = await awaitKernel('BispikRateCode', { x: { values, shape: [size] } }, attrs);
      expect([...(rates?.values ?? [])]).to.deep.equal(expected);
    });
  });

  for (const size of [1, 3, 8, 203, 5000]) {
    it(`squared error of ${size} numbers: the difference exactly, the sum as in float64`, async () => {
      const [x, target] = [numbers(size).floats(size, 10), numbers(size + 1).floats(size, 10)];
      const difference = Array.from(x, (value, i) => Math.fround(value - (target[i] as number)));
      const [error, found] = await awaitKernel('BispikSquaredError', { x: { values: x, shape: [size] }, target: { values: target, shape: [size] } }, { factor: 0.3 });
      expect(error?.shape).to.deep.equal([]);
      expect(relativeDifference(error?.values ?? [], [0.3 * difference.reduce((sum, d) => sum + d * d, 0)])).to.be.below(3e-7);
      expect([...(found?.values ?? [])]).to.deep.equal(difference);
    });
  }

  it('refuses a squared error of two shapes', () => {
    expect(() => tf.engine().runKernel('BispikSquaredError', { x: tf.ones([2]), target: tf.ones([3]) }, { factor: 1 })).to.throw(ShapeError, 'target');
  });
});
