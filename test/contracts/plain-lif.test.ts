import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import type { LifOutput } from '../../src/core/ops/lif.js';
import { lif, plainLif } from '../../src/core/ops/lif.js';
import { describeOnBackends } from '../support/backends.js';
import { numbers } from '../support/kernel-cases.js';
import { ALL_NEURONS } from '../support/lif-reference.js';

/** Spikes, rates and the gradient of a weighted sum of both with respect to x. */
async function evaluate(values: Float32Array, shape: [number, number, number], layer: (x: tf.Tensor3D) => LifOutput): Promise<number[]> {
  const parts = tf.tidy(() => {
    const x = tf.tensor3d(values, shape);
    const weigh = (y: tf.Tensor, seed: number): tf.Tensor => tf.sum(tf.mul(y, tf.tensor(numbers(seed).floats(y.size), y.shape)));
    const gradient = tf.grad((input) => {
      const { spikes, rates } = layer(input as tf.Tensor3D);
      return tf.add(weigh(spikes, 3), weigh(rates, 4));
    })(x);
    const { spikes, rates } = layer(x);
    return [spikes, rates, gradient];
  });
  const read = await Promise.all(parts.map(async (part) => Array.from(await part.data())));
  tf.dispose(parts);
  return read.flat();
}

describeOnBackends('neurons without gain and bias', () => {
  ALL_NEURONS.forEach(({ alpha, ...rest }, i) => {
    const [timeSteps, rows, groups, size] = [1 + (i % 4), 1 + (i % 3), 1 + 2 * (i % 2), [1, 4, 5, 11][i % 4] ?? 1];
    const neuron = { ...rest, timeSteps, surrogateAlpha: alpha };
    it(`have the bits of neurons with gain 1 and bias 0: ${neuron.reset}, ${neuron.surrogate}, detached ${neuron.detachReset}, T = ${timeSteps}`, async () => {
      for (const steps of new Set([1, timeSteps])) {
        const shape: [number, number, number] = [steps, rows, size * groups];
        const values = numbers(i).floats(steps * rows * size * groups, 2);
        const [gain, bias] = [tf.ones<tf.Rank.R1>([size * groups]), tf.zeros<tf.Rank.R1>([size * groups])];
        const expected = await evaluate(values, shape, (x) => lif({ x, gain, bias, onOff: false, groups }, neuron));
        expect(await evaluate(values, shape, (x) => plainLif({ x, groups }, neuron))).to.deep.equal(expected);
        tf.dispose([gain, bias]);
      }
    });
  });
});
