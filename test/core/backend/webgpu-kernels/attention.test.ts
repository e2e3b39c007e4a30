import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { alignedAttention, attentionValues, composedAlignment } from '../../../../src/core/ops/attention-alignment.js';
import type { LifNeuron } from '../../../../src/core/ops/lif.js';
import type { AttentionSizes, TeacherRows } from '../../../support/attention-reference.js';
import { alignmentReference, attentionInputs, attentionReference, softmaxReference, teacherRows } from '../../../support/attention-reference.js';
import { describeOnWebGpu } from '../../../support/backends.js';
import { awaitKernel, callKernel, numbers, relativeDifference } from '../../../support/kernel-cases.js';
import type { NeuronAttrs } from '../../../support/lif-reference.js';
import { ALL_NEURONS } from '../../../support/lif-reference.js';

/** A device may fuse a product and a sum: spikes must agree where no membrane is this near to the threshold. */
const ROUNDING = 1e-6;

interface Case {
  readonly sizes: AttentionSizes;
  readonly rate: number;
  /** null: no alignment. */ readonly align: { readonly heads: number; readonly width: number; readonly gamma: number; readonly form: 'raw' | 'row-normalised' } | null;
}

const attention = (of: Omit<AttentionSizes, 'attrs' | 'R'> & { readonly T: number; readonly neuron: number }): AttentionSizes =>
  ({ ...of, R: of.L + 2, attrs: { ...(ALL_NEURONS[of.neuron] as NeuronAttrs), timeSteps: of.T } });
const headMapOf = (heads: number, teacherHeads: number): number[] => Array.from({ length: heads }, (_, h) => (2 * h + 1) % teacherHeads);

/** Teacher's probabilities of the heads that the student's are compared with. */
function targetOf({ B, L, H }: AttentionSizes, teacher: TeacherRows): Float64Array {
  const { probabilities } = softmaxReference(teacher);
  const target = new Float64Array(B * H * L * L);
  for (let b = 0; b < B; b++) {
    headMapOf(H, teacher.heads).forEach((of, h) => target.set(probabilities.subarray((b * teacher.heads + of) * L * L, (b * teacher.heads + of + 1) * L * L), (b * H + h) * L * L));
  }
  return target;
}

async function expectReference({ sizes, rate, align }: Case): Promise<Float32Array[]> {
  const { B, L, H, K, R, attrs } = sizes;
  const [T, D] = [attrs.timeSteps, H * K];
  const inputs = attentionInputs(sizes, rate, true);
  const random = numbers(L + K);
  const dCounts = random.floats(B * H * L);
  const dLoss = B * H * L; // so that the loss weighs as much as the values
  const teacher = align === null ? null : teacherRows({ B, L, heads: align.heads, width: align.width });
  let expectedLoss: ReturnType<typeof alignmentReference> | null = null;
  const out = attentionReference(sizes, inputs, (mean) => {
    if (align !== null && teacher !== null) expectedLoss = alignmentReference(sizes, { mean, probabilities: targetOf(sizes, teacher) }, align);
    const fromLoss = expectedLoss?.gradient ?? new Float64Array(mean.length);
    return mean.map((_, pair) => T * dCounts[Math.floor(pair / L)]! + dLoss * fromLoss[pair]!);
  });
  const aligned = expectedLoss as ReturnType<typeof alignmentReference> | null;
  expect(Math.min(out.margin, aligned?.margin ?? 1), 'this case says nothing about spikes').to.be.above(ROUNDING);

  const common = { gain: { values: inputs.gain, shape: [H] }, distanceBias: { values: inputs.bias, shape: [H, R] } };
  const side = (values: Float32Array): { values: Float32Array; shape: number[] } => ({ values, shape: [B * L, (align?.heads ?? 0) * (align?.width ?? 0)] });
  const target = teacher === null ? {} : { teacherQuery: side(teacher.query), teacherKey: side(teacher.key) };
  const all = { ...attrs, heads: H, ...(align === null ? {} : { teacherHeads: align.heads, headMap: headMapOf(H, align.heads), gamma: align.gamma, form: align.form }) };
  const name = align === null ? 'BispikTiledAttention' : 'BispikAlignedAttention';
  const forward = await awaitKernel(name, { ...common, ...target, qkv: { values: inputs.qkv, shape: [T, B, L, 3 * D] } }, all);
  const counts = Float64Array.from({ length: B * H * L }, (_, row) => Math.round(T * out.meanMap.subarray(row * L, row * L + L).reduce((a, b) => a + b, 0)));
  expect(forward[0]!.values.filter((value, i) => value !== out.values[i]), 'values').to.have.lengthOf(0);
  expect(forward[1]!.values.filter((value, i) => value !== counts[i]), 'counts').to.have.lengthOf(0);
  if (aligned !== null) expect(forward[2]!.values[0]!, 'loss').to.be.closeTo(aligned.loss, 2e-6 * aligned.loss + 1e-8);

  const saved = align === null ? { bits: forward[2]! } : { bits: forward[3]!, softmax: forward[4]!, rowTerms: forward[5]! };
  const whole = { values: Int32Array.from(saved.bits.values), shape: saved.bits.shape };
  const gradients = await awaitKernel(`${name}Grad`, {
    ...common, ...target, ...saved, bits: whole, dValues: { values: inputs.dValues, shape: [T, B, L, D] }, dCounts: { values: dCounts, shape: [B, H, L] },
    ...(align === null ? {} : { dLoss: { values: Float32Array.of(dLoss), shape: [] } }),
  }, all);
  const found = gradients.map(({ values }) => values);
  [out.dqkv, out.dGain, out.dBias].forEach((expected, i) => expect(relativeDifference(found[i] ?? [], expected), ['dqkv', 'dGain', 'dDistanceBias'][i]).to.be.below(2e-5));
  return found;
}

describeOnWebGpu('WebGPU kernels: attention by tiles', () => {
  const raw = { heads: 1, width: 4, gamma: 0.3, form: 'raw' } as const;
  const rows = { heads: 3, width: 5, gamma: 0.6, form: 'row-normalised' } as const;
  // T, B, L, H, K, and a neuron of ALL_NEURONS: three resets, three surrogates, detached (even) or not. Tiles are 32 × 64.
  const cases: readonly (readonly [what: string, given: Case])[] = [
    ['fewer tokens than a tile', { sizes: attention({ T: 2, B: 1, L: 5, H: 1, K: 4, neuron: 0 }), rate: 0.4, align: null }],
    ['one token', { sizes: attention({ T: 2, B: 1, L: 1, H: 1, K: 4, neuron: 0 }), rate: 0.6, align: null }],
    ['five tiles of keys, more than one turn of words', { sizes: attention({ T: 2, B: 1, L: 261, H: 1, K: 4, neuron: 0 }), rate: 0.3, align: null }],
    ['two words a head, hard reset in full', { sizes: attention({ T: 4, B: 1, L: 70, H: 2, K: 40, neuron: 15 }), rate: 0.1, align: null }],
    ['aligned, raw', { sizes: attention({ T: 2, B: 1, L: 67, H: 1, K: 4, neuron: 0 }), rate: 0.4, align: raw }],
    ['aligned, raw, one time step, soft-leaked in full', { sizes: attention({ T: 1, B: 2, L: 34, H: 3, K: 33, neuron: 11 }), rate: 0.2, align: { ...raw, heads: 2, width: 40 } }],
    ['aligned, row-normalised, head map, soft in full', { sizes: attention({ T: 3, B: 2, L: 33, H: 2, K: 9, neuron: 3 }), rate: 0.3, align: rows }],
    ['aligned, row-normalised, silent rows', { sizes: attention({ T: 3, B: 1, L: 9, H: 2, K: 9, neuron: 3 }), rate: 0.02, align: rows }],
  ];
  for (const [what, given] of cases) {
    const { sizes: { attrs, B, L, H, K } } = given;
    it(`${what}: T = ${attrs.timeSteps}, B = ${B}, L = ${L}, ${H} heads of ${K}, against float64`, async () => { await expectReference(given); });
  }

  it('gives the same bits every time', async () => {
    const given: Case = { sizes: attention({ T: 2, B: 1, L: 67, H: 1, K: 4, neuron: 0 }), rate: 0.4, align: raw };
    expect(await expectReference(given)).to.deep.equal(await expectReference(given));
  });

  it('softmax attention of the teacher: its context against float64, heads of 9 and of 40', async () => {
    for (const sizes of [{ B: 2, L: 70, heads: 2, width: 9 }, { B: 1, L: 33, heads: 1, width: 40 }]) {
      const teacher = teacherRows(sizes);
      const side = (values: Float32Array): { values: Float32Array; shape: number[] } => ({ values, shape: [sizes.B * sizes.L, sizes.heads * sizes.width] });
      const [context] = await awaitKernel('BispikStreamedAttention', { query: side(teacher.query), key: side(teacher.key), value: side(teacher.value) }, { batch: sizes.B, length: sizes.L, heads: sizes.heads });
      expect(relativeDifference(context!.values, softmaxReference(teacher).context)).to.be.below(2e-6);
    }
  });

  const neuron: LifNeuron = { timeSteps: 2, decay: 0.9, threshold: 1, reset: 'soft', surrogate: 'atan', surrogateAlpha: 2, detachReset: true };
  const operation = (length: number) => ({
    input: { qkv: tf.tensor4d(numbers(3).spikes(2 * length * 12, 0.5), [2, 1, length, 12]), gain: tf.tensor1d([0.5]), distanceBias: tf.zeros<tf.Rank.R2>([1, length]), heads: 1 },
    target: { teacher: { kind: 'stream', query: tf.zeros<tf.Rank.R2>([length, 4]), key: tf.zeros<tf.Rank.R2>([length, 4]), batch: 1, length, heads: 1 }, headMap: [0], gamma: 1, form: 'raw' },
  } as const);

  it('the operation is the composed one: values, counts, loss and gradients, where a probability of exactly 1 fires', async () => {
    const { input, target } = operation(3);
    const results = [alignedAttention, composedAlignment].map((align) => tf.tidy(() => {
      const { grads, value } = { grads: tf.grads((...xs) => {
        const { values, counts, loss } = align({ ...input, qkv: xs[0] as tf.Tensor4D, gain: xs[1] as tf.Tensor1D, distanceBias: xs[2] as tf.Tensor2D }, neuron, target);
        return tf.addN([tf.sum(tf.square(values)), tf.sum(tf.mul(counts, 0.3)), tf.mul(loss, 7)]);
      }), value: align(input, neuron, target) };
      return [value.values, value.counts, value.loss, ...grads([input.qkv, input.gain, input.distanceBias])];
    }));
    const [tiled, composed] = await Promise.all(results.map((tensors) => Promise.all(tensors.map((x) => x.data()))));
    tiled!.forEach((values, i) => expect(relativeDifference(values, composed![i]!), `output ${i}`).to.be.below(1e-6));
    expect(tiled![2]![0]).to.be.above(0);
  });

  it('keeps maps where time steps × head width are beyond the registers, and its kernels say so', async () => {
    const many = { ...neuron, timeSteps: 33 };
    const input = { qkv: tf.ones<tf.Rank.R4>([33, 1, 1, 3]), gain: tf.ones<tf.Rank.R1>([1]), distanceBias: tf.zeros<tf.Rank.R2>([1, 1]), heads: 1 };
    const { values } = attentionValues(input, many);
    expect([...(await values.data())].reduce((a, b) => a + b, 0)).to.be.above(0);
    const attrs = { timeSteps: 33, decay: 0.9, threshold: 1, reset: 'soft', surrogate: 'atan', alpha: 2, detachReset: true, heads: 1 };
    expect(() => tf.engine().runKernel('BispikTiledAttention', { qkv: input.qkv, gain: input.gain, distanceBias: input.distanceBias }, attrs))
      .to.throw('33 time steps with heads of 1 channels').with.property('exitCode', 6);
  });

  it('refuses a distance bias that is too short and a head map that does not fit', () => {
    const attrs = { timeSteps: 1, decay: 0.9, threshold: 1, reset: 'soft', surrogate: 'atan', alpha: 2, detachReset: true, heads: 1, teacherHeads: 1, headMap: [1], gamma: 1, form: 'raw' };
    const given = (reach: number): Parameters<typeof callKernel>[1] => ({
      qkv: { values: new Float32Array(6), shape: [1, 1, 2, 3] }, gain: { values: Float32Array.of(1), shape: [1] }, distanceBias: { values: new Float32Array(reach), shape: [1, reach] },
      teacherQuery: { values: new Float32Array(2), shape: [2, 1] }, teacherKey: { values: new Float32Array(2), shape: [2, 1] },
    });
    expect(() => callKernel('BispikTiledAttention', given(1), attrs)).to.throw('reaches 1 tokens back; 2 are needed').with.property('exitCode', 5);
    expect(() => callKernel('BispikAlignedAttention', given(2), attrs)).to.throw("head map [1] does not give each of 1 heads one of the teacher's 1").with.property('exitCode', 5);
  });
});
