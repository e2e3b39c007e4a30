import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import type { LifNeuron } from '../../../src/core/ops/lif.js';
import { reversePass } from '../../../src/core/ops/reverse-pass.js';
import type { AttentionOutput } from '../../../src/core/ops/spiking-attention.js';
import { spikingAttention } from '../../../src/core/ops/spiking-attention.js';
import type { AttentionSizes } from '../../support/attention-reference.js';
import { attentionInputs, attentionReference } from '../../support/attention-reference.js';
import { describeOn, describeOnBackends } from '../../support/backends.js';
import { numbers, relativeDifference } from '../../support/kernel-cases.js';
import { ALL_NEURONS } from '../../support/lif-reference.js';

const OUTPUTS = ['values', 'meanMap', 'counts', 'density'] as const;
type Used = readonly (typeof OUTPUTS)[number][];

const sizesOf = (T: number, L: number, neuron: number): AttentionSizes =>
  ({ B: 2, L, H: 2, K: 3, R: L + 1, attrs: { ...(ALL_NEURONS[neuron] as (typeof ALL_NEURONS)[number]), timeSteps: T } });

/** What a scalar weighs each output with, large enough for a density to matter. */
function weightsOf({ B, L, H, K, attrs: { timeSteps: T } }: AttentionSizes): Record<(typeof OUTPUTS)[number], Float32Array> {
  const random = numbers(L + T);
  return { values: random.floats(T * B * L * H * K), meanMap: random.floats(B * H * L * L), counts: random.floats(B * H * L), density: Float32Array.of(B * H * L * L) };
}

function operation(sizes: AttentionSizes): { inputs: tf.Tensor[]; attend: () => AttentionOutput } {
  const { B, L, H, K, R, attrs: { alpha, ...attrs } } = sizes;
  const { qkv, gain, bias } = attentionInputs(sizes, 0.5, true);
  const input = { qkv: tf.tensor4d(qkv, [attrs.timeSteps, B, L, 3 * H * K]), gain: tf.tensor1d(gain), distanceBias: tf.tensor2d(bias, [H, R]), heads: H } as const;
  return { inputs: [input.qkv, input.gain, input.distanceBias], attend: () => spikingAttention(input, { ...attrs, surrogateAlpha: alpha } as LifNeuron) };
}

/** Gradients of the weighed outputs that are used, by a reverse pass and by the reference in float64. */
async function compare(sizes: AttentionSizes, used: Used): Promise<void> {
  const { L, H, B, attrs: { timeSteps: T } } = sizes;
  const weights = weightsOf(sizes);
  const { inputs, attend } = operation(sizes);
  const { gradients, value } = tf.tidy(() => reversePass(() => {
    const outputs = attend();
    return tf.addN(used.map((name) => tf.sum(tf.mul(outputs[name], tf.tensor(weights[name], outputs[name].shape))))) as tf.Scalar;
  }, inputs));
  const by = (name: (typeof OUTPUTS)[number], amount: number): number => (used.includes(name) ? amount : 0);
  const given = attentionInputs(sizes, 0.5, true);
  const reference = attentionReference(sizes, { ...given, dValues: used.includes('values') ? weights.values : new Float32Array(weights.values.length) }, (mean) =>
    mean.map((_, pair) => by('meanMap', weights.meanMap[pair]!) + by('counts', T * weights.counts[Math.floor(pair / L)]!) + by('density', weights.density[0]! / ((B * H * L * (L + 1)) / 2))));
  expect(reference.margin, 'this case says nothing about spikes').to.be.above(1e-6);
  const found = await Promise.all(gradients.map((gradient) => (gradient as tf.Tensor).data()));
  [reference.dqkv, reference.dGain, reference.dBias].forEach((expected, i) =>
    expect(relativeDifference(found[i]!, expected), `${used.join(' + ')}: ${['dqkv', 'dGain', 'dDistanceBias'][i]}`).to.be.below(2e-5));
  tf.dispose([...inputs, value, ...gradients as tf.Tensor[]]);
}

describeOnBackends('spiking attention', (backend) => {
  for (const [T, L, neuron] of [[1, 9, 0], [2, 1, 3], [3, 7, 15], [4, 6, 8]] as const) {
    it(`T = ${T}, ${L} tokens: counts are whole and exact, the density is theirs, and both agree with the map`, async () => {
      const sizes = sizesOf(T, L, neuron);
      const { B, H } = sizes;
      const { inputs, attend } = operation(sizes);
      const outputs = tf.tidy(() => ({ ...attend() }));
      const { meanMap } = attentionReference(sizes, attentionInputs(sizes, 0.5, true), (mean) => mean);
      const counts = Array.from({ length: B * H * L }, (_, row) => Math.round(T * meanMap.subarray(row * L, row * L + L).reduce((a, b) => a + b, 0)));
      expect(Math.max(...counts), 'no spike at all').to.be.above(0);
      expect(outputs.counts.shape).to.deep.equal([B, H, L]);
      expect([...await outputs.counts.data()]).to.deep.equal(counts);
      expect(outputs.density.shape).to.deep.equal([1]);
      expect((await outputs.density.data())[0]).to.be.closeTo(counts.reduce((a, b) => a + b, 0) / ((T * B * H * L * (L + 1)) / 2), 1e-6);
      expect(relativeDifference(await outputs.meanMap.data(), meanMap)).to.be.below(1e-6);
      tf.dispose([...inputs, ...Object.values(outputs)]);
    });

    it(`T = ${T}, ${L} tokens: gradients of everything and of ${backend === 'webgpu' ? 'single outputs' : 'any choice of outputs'}, against float64`, async () => {
      for (let chosen = 1; chosen < 16; chosen++) {
        const used = OUTPUTS.filter((_, i) => (chosen >> i) % 2 === 1);
        if (backend !== 'webgpu' || used.length % 3 === 1) await compare(sizesOf(T, L, neuron), used);
      }
    });
  }
});

describeOn(['wasm'], 'spiking attention in a reverse pass', () => {
  it('makes nothing for outputs that nothing depends on, nor maps for the density', async () => {
    const { inputs, attend } = operation(sizesOf(2, 7, 0));
    const { kernels } = await tf.profile(() => tf.tidy(() => {
      const { value, gradients } = reversePass(() => {
        const { values, density } = attend();
        return tf.add(tf.sum(values), tf.sum(density)) as tf.Scalar;
      }, inputs);
      return [value, ...gradients as tf.Tensor[]];
    }));
    const names = kernels.map(({ name }) => name);
    expect(names).to.include.members(['BispikSpikingAttention', 'BispikSpikingAttentionGrad']);
    expect(names.filter((name) => name === 'Fill')).to.deep.equal([]);
    const maps = kernels.filter(({ outputShapes }) => outputShapes.some((shape) => shape.join() === '2,2,7,7')).map(({ name }) => name);
    expect(maps, 'makes a map').to.deep.equal(['BispikSpikingAttention']);
    tf.dispose(inputs);
  });
});
