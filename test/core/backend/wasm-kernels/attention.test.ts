import { expect } from 'chai';

import { startWasm } from '../../../../src/core/backend/wasm.js';
import type { AttentionSizes } from '../../../support/attention-reference.js';
import { attentionInputs, attentionReference } from '../../../support/attention-reference.js';
import { callKernel, numbers, relativeDifference } from '../../../support/kernel-cases.js';
import { ALL_NEURONS } from '../../../support/lif-reference.js';

function check(sizes: AttentionSizes, rate: number): void {
  const { B, L, H, K, R, attrs } = sizes;
  const [T, D] = [attrs.timeSteps, H * K];
  const dMeanMap = numbers(K).floats(B * H * L * L);
  const inputs = { ...attentionInputs(sizes, rate, false), dMeanMap };
  const out = attentionReference(sizes, inputs, () => dMeanMap);
  const common = { qkv: { values: inputs.qkv, shape: [T, B, L, 3 * D] }, gain: { values: inputs.gain, shape: [H] } };
  const all = { ...attrs, heads: H };
  const forward = callKernel('BispikSpikingAttention', { ...common, distanceBias: { values: inputs.bias, shape: [H, R] } }, all);
  expect(forward.map(({ shape }) => shape)).to.deep.equal([[T, B, L, D], [B, H, L, L], [T, B, H, L, L]]);
  const [values, meanMap, membrane] = forward.map((tensor) => tensor.values);
  expect([...(membrane ?? [])], 'membrane').to.deep.equal([...out.membrane]);
  expect([...(values ?? [])], 'values').to.deep.equal([...out.values]);
  expect(relativeDifference(meanMap ?? [], out.meanMap)).to.be.below(1e-6);
  const backward = callKernel('BispikSpikingAttentionGrad', {
    ...common, dValues: { values: inputs.dValues, shape: [T, B, L, D] }, dMeanMap: { values: inputs.dMeanMap, shape: [B, H, L, L] },
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

  it('two tokens by hand', () => {
    // One head of two channels: q₀ = 10, k₀ = 11, v₀ = 01; q₁ = 11, k₁ = 10, v₁ = 11. Gain .5, bias (.2, −.3), threshold .6:
    // I = .5·1 + .2 = .7 (0,0), .5·2 − .3 = .7 (1,0), .5·1 + .2 = .7 (1,1): all three fire.
    const attrs = { ...soft, timeSteps: 1, threshold: 0.6, heads: 1 };
    const qkv = { values: Float32Array.of(1, 0, 1, 1, 0, 1, 1, 1, 1, 0, 1, 1), shape: [1, 1, 2, 6] };
    const [values, map, membrane] = callKernel('BispikSpikingAttention', {
      qkv, gain: { values: Float32Array.of(0.5), shape: [1] }, distanceBias: { values: Float32Array.of(0.2, -0.3), shape: [1, 2] },
    }, attrs);
    expect([...(values?.values ?? [])]).to.deep.equal([0, 1, 1, 2]);
    expect([...(map?.values ?? [])]).to.deep.equal([1, 0, 1, 1]);
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
