import { expect } from 'chai';

import { startWasm } from '../../../../src/core/backend/wasm.js';
import type { AttentionSizes } from '../../../support/attention-reference.js';
import { attentionInputs, attentionReference } from '../../../support/attention-reference.js';
import { callKernel, numbers, relativeDifference } from '../../../support/kernel-cases.js';
import { ALL_NEURONS } from '../../../support/lif-reference.js';

/** Gradients that may be absent. */
const OTHERS = ['dMeanMap', 'dCounts', 'dDensity'] as const;

/** What each of them adds to the gradient of the mean map: counts are T times its rows, the density a mean over causal pairs. */
function ofMeanMap({ B, L, H, attrs: { timeSteps: T } }: AttentionSizes, d: Readonly<Record<(typeof OTHERS)[number], Float32Array>>) {
  const pairs = (B * H * L * (L + 1)) / 2;
  return {
    dMeanMap: (pair: number) => d.dMeanMap[pair] as number,
    dCounts: (pair: number) => T * (d.dCounts[Math.floor(pair / L)] as number),
    dDensity: () => (d.dDensity[0] as number) / pairs,
  };
}

function check(sizes: AttentionSizes, rate: number, given: readonly (typeof OTHERS)[number][] = OTHERS): void {
  const { B, L, H, K, R, attrs } = sizes;
  const [T, D] = [attrs.timeSteps, H * K];
  const random = numbers(K);
  const others = { dMeanMap: random.floats(B * H * L * L), dCounts: random.floats(B * H * L), dDensity: random.floats(1, B * H * L * L) };
  const inputs = attentionInputs(sizes, rate, false);
  const parts = ofMeanMap(sizes, others);
  const out = attentionReference(sizes, inputs, (mean) => mean.map((_, pair) => given.reduce((sum, name) => sum + parts[name](pair), 0)));
  const common = { qkv: { values: inputs.qkv, shape: [T, B, L, 3 * D] }, gain: { values: inputs.gain, shape: [H] } };
  const all = { ...attrs, heads: H };
  const forward = callKernel('BispikSpikingAttention', { ...common, distanceBias: { values: inputs.bias, shape: [H, R] } }, all);
  expect(forward.map(({ shape }) => shape)).to.deep.equal([[T, B, L, D], [B, H, L, L], [B, H, L], [1], [T, B, H, L, L]]);
  const [values, meanMap, counts, density, membrane] = forward.map((tensor) => tensor.values);
  expect([...(membrane ?? [])], 'membrane').to.deep.equal([...out.membrane]);
  expect([...(values ?? [])], 'values').to.deep.equal([...out.values]);
  expect(relativeDifference(meanMap ?? [], out.meanMap)).to.be.below(1e-6);
  const spikes = Array.from({ length: B * H * L }, (_, row) => Math.round(T * out.meanMap.subarray(row * L, row * L + L).reduce((a, b) => a + b, 0)));
  expect([...(counts ?? [])], 'counts').to.deep.equal(spikes);
  expect(density?.[0], 'density').to.be.closeTo(spikes.reduce((a, b) => a + b, 0) / ((T * B * H * L * (L + 1)) / 2), 1e-7);
  const backward = callKernel('BispikSpikingAttentionGrad', {
    ...common, dValues: { values: inputs.dValues, shape: [T, B, L, D] },
    ...Object.fromEntries(given.map((name) => [name, { values: others[name], shape: { dMeanMap: [B, H, L, L], dCounts: [B, H, L], dDensity: [1] }[name] }])),
    membrane: { values: out.membrane, shape: [T, B, H, L, L] },
  }, { ...all, R });
  const [dqkv, dGain, dBias] = backward.map((tensor) => tensor.values);
  expect(relativeDifference(dqkv ?? [], out.dqkv), 'dqkv').to.be.below(1e-5);
  expect(relativeDifference(dGain ?? [], out.dGain), 'dGain').to.be.below(1e-5);
  expect(relativeDifference(dBias ?? [], out.dBias), 'dDistanceBias').to.be.below(1e-5);
}

describe('wasm kernels: spiking attention', () => {
  before(startWasm);

  for (const attrs of ALL_NEURONS) {
    it(`${attrs.reset}, ${attrs.surrogate}, ${attrs.detachReset ? 'detached' : 'full'}: forward exact, gradients to 1e-5`, () => {
      check({ B: 2, L: 7, H: 3, K: 5, R: 9, attrs }, 0.4);
    });
  }

  const soft = ALL_NEURONS[0];
  if (soft === undefined) throw new Error('no neuron to test');
  for (const [T, L, K] of [[1, 1, 1], [2, 4, 8], [4, 13, 3], [2, 66, 6], [2, 9, 64], [2, 6, 70], [1, 130, 4]] as const) {
    for (const rate of [0, 0.15, 1]) {
      it(`T = ${T}, ${L} tokens, heads of ${K}, ${rate * 100} % spikes`, () => {
        check({ B: 1, L, H: 2, K, R: L + 3, attrs: { ...soft, timeSteps: T } }, rate);
      });
    }
  }

  for (let chosen = 0; chosen < 8; chosen++) {
    const given = OTHERS.filter((_, i) => (chosen >> i) % 2 === 1);
    it(`gradients with ${given.length === 0 ? 'that of the values alone' : given.join(', ')}`, () => {
      check({ B: 2, L: 9, H: 3, K: 5, R: 9, attrs: { ...soft, timeSteps: 3 } }, 0.4, given);
    });
  }

  it('two tokens by hand', () => {
    // One head of two channels: q₀ = 10, k₀ = 11, v₀ = 01; q₁ = 11, k₁ = 10, v₁ = 11. Gain .5, bias (.2, −.3), threshold .6:
    // I = .5·1 + .2 = .7 (0,0), .5·2 − .3 = .7 (1,0), .5·1 + .2 = .7 (1,1): all three fire.
    const attrs = { ...soft, timeSteps: 1, threshold: 0.6, heads: 1 };
    const qkv = { values: Float32Array.of(1, 0, 1, 1, 0, 1, 1, 1, 1, 0, 1, 1), shape: [1, 1, 2, 6] };
    const [values, map, counts, density, membrane] = callKernel('BispikSpikingAttention', {
      qkv, gain: { values: Float32Array.of(0.5), shape: [1] }, distanceBias: { values: Float32Array.of(0.2, -0.3), shape: [1, 2] },
    }, attrs);
    expect([...(values?.values ?? [])]).to.deep.equal([0, 1, 1, 2]);
    expect([...(map?.values ?? [])]).to.deep.equal([1, 0, 1, 1]);
    expect([...(counts?.values ?? []), ...(density?.values ?? [])]).to.deep.equal([1, 2, 1]);
    [0.7, 0, 0.7, 0.7].forEach((u, at) => expect(membrane?.values[at]).to.be.closeTo(u, 1e-6));
  });

  it('refuses a distance bias that is too short', () => {
    const call = (): unknown => callKernel('BispikSpikingAttention', {
      qkv: { values: new Float32Array(6), shape: [1, 1, 2, 3] }, gain: { values: Float32Array.of(1), shape: [1] },
      distanceBias: { values: Float32Array.of(0), shape: [1, 1] },
    }, { ...soft, timeSteps: 1, heads: 1 });
    expect(call).to.throw('reaches 1 tokens back; 2 are needed').with.property('exitCode', 5);
  });
});
