import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import type { AlignedValues } from '../../../src/core/ops/attention-alignment.js';
import { alignedAttention } from '../../../src/core/ops/attention-alignment.js';
import type { LifNeuron } from '../../../src/core/ops/lif.js';
import { reversePass } from '../../../src/core/ops/reverse-pass.js';
import type { AttentionSizes } from '../../support/attention-reference.js';
import { alignmentReference, attentionInputs, attentionReference, softmaxReference, teacherRows } from '../../support/attention-reference.js';
import { describeOn, describeOnBackends } from '../../support/backends.js';
import { numbers, relativeDifference } from '../../support/kernel-cases.js';
import { ALL_NEURONS } from '../../support/lif-reference.js';

const OUTPUTS = ['values', 'loss', 'counts', 'density'] as const;
type Weights = Record<(typeof OUTPUTS)[number], Float32Array>;
/** The teacher has three heads. */
const HEAD_MAP = [2, 0];

const sizesOf = (T: number, L: number, neuron: number): AttentionSizes =>
  ({ B: 2, L, H: 2, K: 3, R: L + 1, attrs: { ...(ALL_NEURONS[neuron] as (typeof ALL_NEURONS)[number]), timeSteps: T } });

/** What a scalar weighs each output with, large enough for means to matter. */
function weightsOf({ B, L, H, K, attrs: { timeSteps: T } }: AttentionSizes): Weights {
  const random = numbers(L + T);
  return { values: random.floats(T * B * L * H * K), loss: Float32Array.of(B * H * L), counts: random.floats(B * H * L), density: Float32Array.of(B * H * L * L) };
}

interface Case { readonly inputs: tf.Tensor[]; readonly probabilities: Float64Array; readonly attend: () => AlignedValues }

function caseOf(sizes: AttentionSizes): Case {
  const { B, L, H, K, R, attrs: { alpha, ...attrs } } = sizes;
  const { qkv, gain, bias } = attentionInputs(sizes, 0.5, true);
  const teacher = softmaxReference(teacherRows({ B, L, heads: 3, width: 4 })).probabilities;
  const input = { qkv: tf.tensor4d(qkv, [attrs.timeSteps, B, L, 3 * H * K]), gain: tf.tensor1d(gain), distanceBias: tf.tensor2d(bias, [H, R]), heads: H } as const;
  const target = { teacher: { kind: 'maps', probabilities: tf.tensor4d(Float32Array.from(teacher), [B, 3, L, L]) }, headMap: HEAD_MAP, gamma: 0.3, form: 'raw' } as const;
  const map = L * L;
  const probabilities = Float64Array.from({ length: B * H * map }, (_, at) => {
    const [b, h] = [Math.floor(at / map / H), Math.floor(at / map) % H];
    return teacher[(b * 3 + HEAD_MAP[h]!) * map + (at % map)]!;
  });
  return { inputs: [input.qkv, input.gain, input.distanceBias, target.teacher.probabilities], probabilities, attend: () => alignedAttention(input, { ...attrs, surrogateAlpha: alpha } as LifNeuron, target) };
}

/** The weighed outputs that are used and their gradients, by a reverse pass and by the reference in float64. */
async function compare(sizes: AttentionSizes, used: readonly (typeof OUTPUTS)[number][]): Promise<void> {
  const { L, H, B, attrs: { timeSteps: T } } = sizes;
  const weights = weightsOf(sizes);
  const { inputs, probabilities, attend } = caseOf(sizes);
  const { gradients, value, loss } = tf.tidy(() => {
    const pass = reversePass(() => {
      const outputs = attend();
      return tf.addN(used.map((name) => tf.sum(tf.mul(outputs[name], tf.tensor(weights[name], outputs[name].shape))))) as tf.Scalar;
    }, inputs.slice(0, 3));
    return { ...pass, loss: attend().loss };
  });
  const by = (name: (typeof OUTPUTS)[number], amount: number): number => (used.includes(name) ? amount : 0);
  let aligned = { loss: Number.NaN, margin: 0 };
  const given = { ...attentionInputs(sizes, 0.5, true), dValues: used.includes('values') ? weights.values : new Float32Array(weights.values.length) };
  const reference = attentionReference(sizes, given, (mean) => {
    const { gradient, ...rest } = alignmentReference(sizes, { mean, probabilities }, { gamma: 0.3, form: 'raw' });
    aligned = rest;
    return mean.map((_, pair) => by('loss', weights.loss[0]! * gradient[pair]!) + by('counts', T * weights.counts[Math.floor(pair / L)]!) + by('density', weights.density[0]! / ((B * H * L * (L + 1)) / 2)));
  });
  expect(Math.min(reference.margin, aligned.margin), 'this case says nothing about spikes').to.be.above(1e-6);
  expect((await loss.data())[0], 'loss').to.be.closeTo(aligned.loss, 2e-6 * aligned.loss);
  const found = await Promise.all(gradients.map((gradient) => (gradient as tf.Tensor).data()));
  [reference.dqkv, reference.dGain, reference.dBias].forEach((expected, i) =>
    expect(relativeDifference(found[i]!, expected), `${used.join(' + ')}: ${['dqkv', 'dGain', 'dDistanceBias'][i]}`).to.be.below(2e-5));
  tf.dispose([...inputs, value, loss, ...gradients as tf.Tensor[]]);
}

describeOnBackends('spiking attention aligned with maps, raw', (backend) => {
  for (const [T, L, neuron] of [[1, 9, 0], [2, 1, 3], [3, 7, 15], [4, 6, 8]] as const) {
    it(`T = ${T}, ${L} tokens: loss, and gradients of everything and of ${backend === 'webgpu' ? 'single outputs' : 'any choice of outputs'}, against float64`, async () => {
      for (let chosen = 1; chosen < 16; chosen++) {
        const used = OUTPUTS.filter((_, i) => (chosen >> i) % 2 === 1);
        if (backend !== 'webgpu' || used.length % 3 === 1) await compare(sizesOf(T, L, neuron), used);
      }
    });
  }
});

describeOn(['wasm'], 'spiking attention aligned with maps, raw', () => {
  it('makes no map of one number per pair, in neither direction', async () => {
    const { inputs, attend } = caseOf(sizesOf(2, 7, 0));
    const { kernels } = await tf.profile(() => tf.tidy(() => {
      const { value, gradients } = reversePass(() => {
        const { values, density, loss } = attend();
        return tf.addN([tf.sum(values), tf.sum(density), loss]) as tf.Scalar;
      }, inputs.slice(0, 3));
      return [value, ...gradients as tf.Tensor[]];
    }));
    expect(kernels.map(({ name }) => name)).to.include.members(['BispikMappedAttention', 'BispikMappedAttentionGrad']);
    const maps = kernels.filter(({ outputShapes }) => outputShapes.some((shape) => shape.join() === '2,2,7,7')).map(({ name }) => name);
    expect(maps, 'the heads that are compared with').to.deep.equal(['GatherV2']);
    tf.dispose(inputs);
  });
});
