import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import fc from 'fast-check';

import { affine } from '../../src/core/ops/affine.js';
import { headLosses } from '../../src/core/ops/head-losses.js';
import { layerNorm } from '../../src/core/ops/layer-norm.js';
import type { LifNeuron, SpikeTensor } from '../../src/core/ops/lif.js';
import { lif } from '../../src/core/ops/lif.js';
import { meanOver, scale } from '../../src/core/ops/reduce.js';
import { futureScores, softmaxAttention } from '../../src/core/ops/softmax-attention.js';
import { spikeLinear } from '../../src/core/ops/spike-linear.js';
import { spikingAttention } from '../../src/core/ops/spiking-attention.js';
import { prepareBackend } from '../../src/core/pipeline/prepare-backend.js';
import { numbers, relativeDifference } from '../support/kernel-cases.js';

/** The event-driven kernels and the composed forms of the same operations must agree, forward and backward, on any shape. */

type Inputs = readonly { readonly values: Float32Array; readonly shape: readonly number[] }[];
type Operation = (...tensors: tf.Tensor[]) => tf.Tensor;

/** Value of an operation and the gradients of Σ weights·value with respect to every input. */
function evaluate(operation: Operation, inputs: Inputs): Float32Array[] {
  return tf.tidy(() => {
    const tensors = inputs.map(({ values, shape }) => tf.tensor(values, [...shape]));
    const weigh = (...xs: tf.Tensor[]): tf.Tensor => {
      const y = operation(...xs);
      return tf.sum(tf.mul(y, tf.tensor(numbers(y.size).floats(y.size), y.shape)));
    };
    return [operation(...tensors), ...tf.grads(weigh)(tensors)].map((x) => x.dataSync<'float32'>());
  });
}

async function expectAgreement(operation: Operation, inputs: Inputs): Promise<void> {
  await prepareBackend('cpu');
  const composed = evaluate(operation, inputs);
  await prepareBackend('wasm');
  const kernels = evaluate(operation, inputs);
  composed.forEach((expected, i) => {
    const difference = relativeDifference(kernels[i] ?? [], expected);
    expect(difference, i === 0 ? 'value' : `gradient of input ${i - 1}`).to.be.below(2e-5);
  });
}

const size = (max: number) => fc.integer({ min: 1, max });
const neurons: fc.Arbitrary<LifNeuron> = fc.record({
  timeSteps: size(4), decay: fc.constantFrom(0.9, 0.5), threshold: fc.constantFrom(1, 0.7),
  reset: fc.constantFrom('soft', 'soft-leaked', 'hard'), surrogate: fc.constantFrom('atan', 'sigmoid', 'triangle'),
  surrogateAlpha: fc.constantFrom(1, 2, 4), detachReset: fc.boolean(),
});
const RUNS = { numRuns: 12, seed: 20260801 };

/** Currents on a coarse grid, so that no membrane lies within rounding of the threshold. */
const grid = (values: Float32Array): Float32Array => values.map((v) => Math.round(v * 8) / 8 + 0.013);

describe('contract: wasm kernels and composed operations agree', function () {
  this.timeout(60_000);

  it('LIF neurons', () => fc.assert(fc.asyncProperty(
    fc.record({ neuron: neurons, rows: size(5), channels: size(11), onOff: fc.boolean(), constant: fc.boolean(), grouped: fc.boolean() }),
    async ({ neuron, rows, channels, onOff, constant, grouped }) => {
    const random = numbers(rows * 100 + channels);
    const steps = constant ? 1 : neuron.timeSteps;
    const width = onOff ? 2 * channels : channels;
    const groups = grouped ? channels : 1;
    const spikesAndRates = (x: tf.Tensor, gain: tf.Tensor, bias: tf.Tensor): tf.Tensor => {
      const { spikes, rates } = lif({ x: x as tf.Tensor3D, gain: gain as tf.Tensor1D, bias: bias as tf.Tensor1D, onOff, groups }, neuron);
      return tf.concat([tf.reshape(spikes, [-1]), rates]);
    };
    await expectAgreement(spikesAndRates as Operation, [
      { values: grid(random.floats(steps * rows * channels, 2)), shape: [steps, rows, channels] },
      { values: new Float32Array(width).fill(1), shape: [width] }, { values: new Float32Array(width), shape: [width] },
    ]);
  }), RUNS));

  it('products with spikes', () => fc.assert(fc.asyncProperty(
    fc.record({ steps: size(3), rows: size(40), inputs: size(70), outputs: size(70) }),
    async ({ steps, rows, inputs, outputs }) => {
    const random = numbers(rows * 100 + inputs);
    await expectAgreement((s, w, b) => spikeLinear(s as SpikeTensor<tf.Rank.R3>, w as tf.Tensor2D, b as tf.Tensor1D), [
      { values: random.spikes(steps * rows * inputs, 0.15), shape: [steps, rows, inputs] },
      { values: random.floats(inputs * outputs), shape: [inputs, outputs] }, { values: random.floats(outputs), shape: [outputs] },
    ]);
  }), RUNS));

  it('spiking attention: values and mean map', () => fc.assert(fc.asyncProperty(
    fc.record({ neuron: neurons, batch: size(2), length: size(11), heads: size(3), width: size(9) }),
    async ({ neuron, batch, length, heads, width }) => {
    const random = numbers(length * 100 + width);
    const inputs = [
      { values: random.spikes(neuron.timeSteps * batch * length * 3 * heads * width, 0.4), shape: [neuron.timeSteps, batch, length, 3 * heads * width] },
      { values: new Float32Array(heads).fill(0.5), shape: [heads] },
      { values: grid(random.floats(heads * (length + 2))), shape: [heads, length + 2] },
    ];
    for (const part of ['values', 'meanMap'] as const) {
      await expectAgreement((qkv, gain, distanceBias) => spikingAttention({
        qkv: qkv as SpikeTensor<tf.Rank.R4>, gain: gain as tf.Tensor1D, distanceBias: distanceBias as tf.Tensor2D, heads,
      }, neuron)[part], inputs);
    }
  }), RUNS));

  it('layer norm', () => fc.assert(fc.asyncProperty(size(9), fc.integer({ min: 4, max: 40 }), async (rows, width) => {
    const random = numbers(rows * 100 + width);
    await expectAgreement((x, weight, bias) => layerNorm(x, { weight: weight as tf.Tensor1D, bias: bias as tf.Tensor1D, epsilon: 1e-5 }), [
      { values: random.floats(rows * width), shape: [rows, width] }, { values: random.floats(width), shape: [width] }, { values: random.floats(width), shape: [width] },
    ]);
  }), RUNS));

  it('losses of logits', () => fc.assert(fc.asyncProperty(size(9), fc.integer({ min: 2, max: 70 }), async (rows, vocabulary) => {
    const random = numbers(rows * 100 + vocabulary);
    const width = 3;
    const inputs = [{ values: random.floats(rows * width, 3), shape: [rows, width] }, { values: random.floats(vocabulary * width, 3), shape: [vocabulary, width] }];
    const [states, head] = [random.floats(rows * width, 3), random.floats(vocabulary * width, 3)];
    const labels = Int32Array.from({ length: rows }, () => random.below(vocabulary + 1) - 1);
    for (const [softWeight, hardWeight] of [[0.4, 0.6], [1, 0], [0, 1]] as const) {
      await expectAgreement((x, y) => {
        const teacher = { states: tf.tensor2d(states, [rows, width]), head: tf.tensor2d(head, [vocabulary, width]) };
        const targets = { labels: tf.tensor1d(labels, 'int32'), labelled: labels.filter((label) => label >= 0).length, teacher };
        return headLosses({ states: x as tf.Tensor2D, head: y as tf.Tensor2D }, targets, { softWeight, hardWeight, temperature: 2, chunkBytes: 16 * vocabulary }).total;
      }, inputs);
    }
  }), RUNS));

  it('no tensor and no memory is left behind by hundreds of calls', async () => {
    await prepareBackend('wasm');
    const random = numbers(1);
    const neuron: LifNeuron = { timeSteps: 2, decay: 0.9, threshold: 1, reset: 'soft', surrogate: 'atan', surrogateAlpha: 2, detachReset: true };
    const inputs = [{ values: random.spikes(2 * 2 * 33 * 48, 0.2), shape: [2, 2, 33, 48] }, { values: random.floats(2), shape: [2] }, { values: random.floats(80), shape: [2, 40] }];
    const step = (): void => {
      evaluate((qkv, gain, bias) => spikingAttention({ qkv: qkv as SpikeTensor<tf.Rank.R4>, gain: gain as tf.Tensor1D, distanceBias: bias as tf.Tensor2D, heads: 2 }, neuron).values, inputs);
      evaluate((s, w) => tf.matMul(s as tf.Tensor2D, w as tf.Tensor2D, true, true), [{ values: random.floats(70 * 9), shape: [70, 9] }, { values: random.floats(33 * 70), shape: [33, 70] }]);
    };
    const heapBytes = (): number => (tf.backend() as unknown as { wasm: { HEAPU8: Uint8Array } }).wasm.HEAPU8.byteLength;
    for (let i = 0; i < 20; i++) step();
    const [tensors, bytes] = [tf.memory().numTensors, heapBytes()];
    for (let i = 0; i < 100; i++) step();
    expect(tf.memory().numTensors).to.equal(tensors);
    expect(heapBytes()).to.equal(bytes);
  });

  it('a tensor times a number, and means: the bits of the standard kernels with the wasm sums', async () => {
    await prepareBackend('wasm');
    for (const [rows, width] of [[1, 1], [2, 7], [5, 64]] as const) {
      const values = numbers(rows).floats(rows * width, 4);
      const [scaled, product] = tf.tidy(() => {
        const x = tf.tensor2d(values, [rows, width]);
        return [scale(x, 0.3).dataSync(), tf.mul(x, 0.3).dataSync()];
      });
      expect(scaled).to.deep.equal(product);
      await expectAgreement((x) => scale(x as tf.Tensor2D, -0.7), [{ values, shape: [rows, width] }]);
      await expectAgreement((x) => meanOver(x as tf.Tensor2D, [0]), [{ values, shape: [rows, width] }]);
    }
  });

  it('an affine map, by float64', async () => {
    await prepareBackend('wasm');
    for (const [rows, inputs, outputs] of [[1, 1, 1], [3, 5, 7], [9, 8, 4]] as const) {
      const random = numbers(rows);
      const [x, w, b] = [random.floats(rows * inputs), random.floats(inputs * outputs), random.floats(outputs)];
      const at = (row: number, column: number): number => x.slice(row * inputs, (row + 1) * inputs).reduce((sum, value, c) => sum + value * (w[c * outputs + column] as number), b[column] as number);
      const expected = Array.from({ length: rows * outputs }, (_, i) => at(Math.floor(i / outputs), i % outputs));
      const found = tf.tidy(() => affine(tf.tensor2d(x, [rows, inputs]), tf.tensor2d(w, [inputs, outputs]), tf.tensor1d(b)).dataSync());
      expect(relativeDifference(found, expected)).to.be.below(1e-6);
      await expectAgreement((...[tx, tw, tb]) => affine(tx as tf.Tensor2D, tw as tf.Tensor2D, tb as tf.Tensor1D), [
        { values: x, shape: [rows, inputs] }, { values: w, shape: [inputs, outputs] }, { values: b, shape: [outputs] },
      ]);
    }
  });

  it('causal softmax attention', async () => {
    for (const [batch, length, heads, width] of [[1, 1, 1, 3], [2, 5, 3, 2], [1, 9, 2, 4], [2, 33, 1, 5], [1, 70, 2, 9]] as const) {
      const random = numbers(length);
      const states = (): Inputs[number] => ({ values: random.floats(batch * length * heads * width, 2), shape: [batch * length, heads * width] });
      const inputs = [states(), states(), states()];
      const attend = (...[query, key, value]: tf.Tensor[]): ReturnType<typeof softmaxAttention> => {
        const qkv = { query: query as tf.Tensor2D, key: key as tf.Tensor2D, value: value as tf.Tensor2D };
        return softmaxAttention(qkv, { batch, length, heads }, futureScores(length));
      };
      if (length < 30) await expectAgreement((...qkv) => attend(...qkv).context, inputs);
      await expectSameBits(attend, inputs);
    }
  });

  /** The kernel of a pass that nobody differentiates, beside the operations that one is recorded of. */
  async function expectSameBits(attend: (...qkv: tf.Tensor[]) => ReturnType<typeof softmaxAttention>, inputs: Inputs): Promise<void> {
    await prepareBackend('wasm');
    const qkv = inputs.map(({ values, shape }) => tf.tensor(values, [...shape]));
    const bitsOf = ({ context, probabilities }: ReturnType<typeof softmaxAttention>): number[][] =>
      [context, probabilities].map((tensor) => [...new Uint32Array(tensor.dataSync<'float32'>().slice().buffer)]);
    const once = bitsOf(tf.tidy(() => attend(...qkv)));
    let recorded: number[][] = [];
    tf.tidy(() => tf.grad((query) => {
      const found = attend(query, ...qkv.slice(1));
      recorded = bitsOf(found);
      return tf.sum(found.context);
    })(qkv[0] as tf.Tensor));
    expect(once).to.deep.equal(recorded);
    tf.dispose(qkv);
  }
});
