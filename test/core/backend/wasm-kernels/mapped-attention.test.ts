import { expect } from 'chai';

import { startWasm } from '../../../../src/core/backend/wasm.js';
import { ShapeError } from '../../../../src/core/errors.js';
import type { AttentionSizes } from '../../../support/attention-reference.js';
import { alignmentReference, attentionInputs, attentionReference } from '../../../support/attention-reference.js';
import { callKernel, numbers, relativeDifference } from '../../../support/kernel-cases.js';
import { ALL_NEURONS } from '../../../support/lif-reference.js';

const GAMMA = 0.3;

/** Targets (B, H, L, L): every third one about the smallest constant current that fires within T steps, on either side of it, the rest anything up to the threshold. */
function targetsOf({ B, L, H, attrs: { timeSteps, decay, threshold } }: AttentionSizes): Float32Array {
  const random = numbers(L * 3 + timeSteps);
  const reach = Array.from({ length: timeSteps }, (_, t) => decay ** t).reduce((a, b) => a + b);
  const one = (): number => (random.below(3) === 0 ? (threshold / reach) * (1 + 10 ** -random.below(8) * (random.below(3) - 1)) : random.uniform() ** 3 * threshold);
  return Float32Array.from({ length: B * H * L * L }, (_, at) => (at % L > Math.floor(at / L) % L ? 0 : one()));
}

function check(sizes: AttentionSizes, rate: number): void {
  const { B, L, H, K, R, attrs } = sizes;
  const [T, D] = [attrs.timeSteps, H * K];
  const inputs = attentionInputs(sizes, rate, false);
  const random = numbers(K);
  const [dCounts, dDensity, dLoss] = [random.floats(B * H * L), random.floats(1, B * H * L * L), random.floats(1, 2 * B * H * L)];
  const target = targetsOf(sizes);
  const entries = (B * H * L * (L + 1)) / 2;
  const aligned = { loss: Number.NaN };
  const out = attentionReference(sizes, inputs, (mean) => {
    const { loss, gradient } = alignmentReference(sizes, { mean, probabilities: Float64Array.from(target) }, { gamma: GAMMA, form: 'raw' });
    aligned.loss = loss;
    return mean.map((_, pair) => T * dCounts[Math.floor(pair / L)]! + dDensity[0]! / entries + dLoss[0]! * gradient[pair]!);
  });
  const common = { qkv: { values: inputs.qkv, shape: [T, B, L, 3 * D] }, gain: { values: inputs.gain, shape: [H] }, target: { values: target, shape: [B, H, L, L] } };
  const all = { ...attrs, heads: H, rateFactor: GAMMA / entries, factor: (1 - GAMMA) / entries };
  const forward = callKernel('BispikMappedAttention', { ...common, distanceBias: { values: inputs.bias, shape: [H, R] } }, all);
  expect(forward.map(({ shape }) => shape)).to.deep.equal([[T, B, L, D], [], [B, H, L], [1], [T, B, H, L, L]]);
  const [values, loss, counts, density, membrane] = forward.map((tensor) => [...tensor.values]);
  expect(membrane, 'membrane').to.deep.equal([...out.membrane]);
  expect(values, 'values').to.deep.equal([...out.values]);
  const spikes = Array.from({ length: B * H * L }, (_, row) => Math.round(T * out.meanMap.subarray(row * L, row * L + L).reduce((a, b) => a + b, 0)));
  expect(counts, 'counts').to.deep.equal(spikes);
  expect(density![0], 'density').to.be.closeTo(spikes.reduce((a, b) => a + b, 0) / (T * entries), 1e-7);
  expect(loss![0], 'loss').to.be.closeTo(aligned.loss, 1e-6 * aligned.loss);
  const gradients = callKernel('BispikMappedAttentionGrad', {
    ...common, dValues: { values: inputs.dValues, shape: [T, B, L, D] }, dLoss: { values: dLoss, shape: [] }, dCounts: { values: dCounts, shape: [B, H, L] },
    dDensity: { values: dDensity, shape: [1] }, membrane: { values: out.membrane, shape: [T, B, H, L, L] },
  }, { ...all, R });
  [out.dqkv, out.dGain, out.dBias].forEach((expected, i) => expect(relativeDifference(gradients[i]!.values, expected), ['dqkv', 'dGain', 'dDistanceBias'][i]).to.be.below(1e-5));
}

describe('wasm kernels: attention compared with maps', () => {
  before(startWasm);

  ALL_NEURONS.forEach((attrs, i) => {
    const timeSteps = 1 + (i % 4);
    it(`${attrs.reset}, ${attrs.surrogate}, ${attrs.detachReset ? 'detached' : 'full'}, T = ${timeSteps}: values and counts exact, loss to 1e-6, gradients to 1e-5`, () => {
      check({ B: 2, L: [1, 3, 8, 9, 18][i % 5] ?? 1, H: 3, K: 5, R: 19, attrs: { ...attrs, timeSteps } }, 0.4);
    });
  });

  for (const [T, L, K] of [[4, 13, 3], [2, 66, 6], [3, 6, 70], [1, 130, 4]] as const) {
    for (const rate of [0, 0.15, 1]) {
      it(`T = ${T}, ${L} tokens, heads of ${K}, ${rate * 100} % spikes`, () => { check({ B: 1, L, H: 2, K, R: L, attrs: { ...ALL_NEURONS[0]!, timeSteps: T } }, rate); });
    }
  }

  it('two tokens by hand', () => {
    // As for spiking attention: all three pairs fire, map [1, 0], [1, 1]. Targets 1, ½, ½ of a neuron with threshold .6 fire at rates 1, 0, 0.
    // rateFactor·(0 + 1 + 1) + factor·(0 + ¼ + ¼)
    const [, loss] = callKernel('BispikMappedAttention', {
      qkv: { values: Float32Array.of(1, 0, 1, 1, 0, 1, 1, 1, 1, 0, 1, 1), shape: [1, 1, 2, 6] }, gain: { values: Float32Array.of(0.5), shape: [1] },
      distanceBias: { values: Float32Array.of(0.2, -0.3), shape: [1, 2] }, target: { values: Float32Array.of(1, 0, 0.5, 0.5), shape: [1, 1, 2, 2] },
    }, { ...ALL_NEURONS[0]!, timeSteps: 1, threshold: 0.6, heads: 1, rateFactor: 3, factor: 10 });
    expect(loss!.values[0]).to.be.closeTo(3 * 2 + 10 * 0.5, 1e-6);
  });

  it('refuses a target of another shape', () => {
    const call = (): unknown => callKernel('BispikMappedAttention', {
      qkv: { values: new Float32Array(6), shape: [1, 1, 2, 3] }, gain: { values: Float32Array.of(1), shape: [1] },
      distanceBias: { values: new Float32Array(2), shape: [1, 2] }, target: { values: new Float32Array(4), shape: [1, 2, 2] },
    }, { ...ALL_NEURONS[0]!, timeSteps: 1, heads: 1, rateFactor: 1, factor: 1 });
    expect(call).to.throw(ShapeError, 'target is float32 [1, 2, 2]; float32 [1, 1, 2, 2] was expected');
  });
});
