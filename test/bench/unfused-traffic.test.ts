import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import type { Fusion } from '../../bench/support/unfused-traffic.js';
import { compareTraffic, countDispatches, withComposed } from '../../bench/support/unfused-traffic.js';
import type { LifNeuron } from '../../src/core/ops/lif.js';
import { lif, registerLif } from '../../src/core/ops/lif.js';
import { describeOnWebGpu, expectClose } from '../support/backends.js';
import { numbers } from '../support/kernel-cases.js';

const LIF: Fusion = { kernels: ['BispikLif', 'BispikLifGrad'], registerComposed: registerLif };
const PAPER: LifNeuron = { timeSteps: 4, decay: 0.9, threshold: 1, reset: 'soft', surrogate: 'atan', surrogateAlpha: 2, detachReset: true };

interface Layer { readonly neuron: LifNeuron; readonly rows: number; readonly channels: number; readonly onOff: boolean; readonly constant: boolean }

/** Spikes and rates of a layer of neurons, and the gradients of a weighted sum of both. */
async function runLayer({ neuron, rows, channels, onOff, constant }: Layer): Promise<Float32Array[]> {
  const random = numbers(rows + channels);
  const [steps, width] = [constant ? 1 : neuron.timeSteps, onOff ? 2 * channels : channels];
  const tensors = tf.tidy(() => {
    const x = tf.tensor(random.floats(steps * rows * channels, 2), [steps, rows, channels]);
    const [gain, bias] = [tf.tensor1d(random.floats(width)), tf.tensor1d(random.floats(width, 0.2))];
    const weights = tf.tensor(random.floats(neuron.timeSteps * rows * width), [neuron.timeSteps, rows, width]);
    const layer = (...at: tf.Tensor[]): ReturnType<typeof lif> => lif({ x: at[0] as tf.Tensor3D, gain: at[1] as tf.Tensor1D, bias: at[2] as tf.Tensor1D, onOff, groups: 2 }, neuron);
    const { spikes, rates } = layer(x, gain, bias);
    const loss = (...at: tf.Tensor[]): tf.Scalar => {
      const found = layer(...at);
      return tf.add(tf.sum(tf.mul(found.spikes, weights)), tf.sum(tf.mul(found.rates, 3)));
    };
    return [spikes, rates, ...tf.grads(loss)([x, gain, bias])];
  });
  const values = await Promise.all(tensors.map((tensor) => tensor.data<'float32'>()));
  tf.dispose(tensors);
  return values;
}

/** Forward and backward pass alone: nothing else is launched. */
function passes({ neuron, rows, channels, onOff }: Layer): { run: () => Promise<void>; dispose: () => void } {
  const width = onOff ? 2 * channels : channels;
  const { surrogateAlpha: alpha, ...rest } = neuron;
  const attrs = { ...rest, alpha, onOff, groups: 2 };
  const inputs = { x: tf.zeros([neuron.timeSteps, rows, channels]), gain: tf.ones([width]), bias: tf.zeros([width]) };
  const gradients = { dSpikes: tf.zeros([neuron.timeSteps, rows, width]), dRates: tf.zeros([2]) };
  const run = async (): Promise<void> => {
    const made = [tf.engine().runKernel('BispikLif', inputs, attrs), tf.engine().runKernel('BispikLifGrad', { ...inputs, ...gradients }, attrs)].flat();
    await (made.at(-1) as tf.Tensor).data();
    tf.dispose(made);
  };
  return { run, dispose: () => { tf.dispose([...Object.values(inputs), ...Object.values(gradients)]); } };
}

describeOnWebGpu('traffic of fused operations and of their composed forms', () => {
  it('counts the tensors of every dispatch', async () => {
    const x = tf.ones([2000]); // smaller ones may be added on the CPU
    await tf.add(x, x).data();
    // Two inputs and an output of 8000 bytes.
    expect(await countDispatches(async () => { tf.dispose(tf.add(x, x)); })).to.deep.equal({ dispatches: 1, bytesMoved: 24_000 });
    x.dispose();
  });

  for (const layer of [
    { neuron: { ...PAPER, timeSteps: 2 }, rows: 7, channels: 5, onOff: true, constant: false },
    { neuron: { ...PAPER, reset: 'hard', surrogate: 'sigmoid', detachReset: false }, rows: 3, channels: 8, onOff: false, constant: true },
  ] as const) {
    it(`neurons with and without kernels agree: T ${layer.neuron.timeSteps}, ${layer.neuron.reset} reset${layer.onOff ? ', on/off' : ''}${layer.constant ? ', constant' : ''}`, async () => {
      const own = await runLayer(layer);
      const composed = await withComposed([LIF], () => runLayer(layer));
      expect([...own[0]!]).to.deep.equal([...composed[0]!]);
      ['rates', 'dx', 'dGain', 'dBias'].forEach((what, i) => { expectClose(own[i + 1]!, composed[i + 1]!, { absolute: 1e-5, relative: 1e-5 }, what); });
      expect(tf.getKernel('BispikLif', 'webgpu')).to.not.equal(null);
    });
  }

  for (const onOff of [false, true]) {
    it(`a forward and a backward pass of neurons${onOff ? ', on/off pairs,' : ''} move at most a fifth of what the composed form moves`, async () => {
      const { run, dispose } = passes({ neuron: PAPER, rows: 128, channels: 96, onOff, constant: false });
      const { own, composed } = await compareTraffic([LIF], run);
      dispose();
      expect(own.dispatches).to.be.below(composed.dispatches / 5);
      expect(own.bytesMoved).to.be.below(composed.bytesMoved / 5);
      // x twice, spikes and their gradient, the gradient of x; little beside them.
      const ofTensors = 4 * 4 * 128 * 96 * (onOff ? 3 + 2 * 2 : 3 + 2);
      expect(own.bytesMoved).to.be.within(ofTensors, 1.8 * ofTensors);
      console.log(`      ${own.dispatches} dispatches and ${own.bytesMoved} bytes against ${composed.dispatches} and ${composed.bytesMoved}: 1/${(composed.bytesMoved / own.bytesMoved).toFixed(1)}`);
    });
  }
});
