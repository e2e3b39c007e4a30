import { expect } from 'chai';

import { startWasm } from '../../../../src/core/backend/wasm.js';
import { callKernel, numbers, relativeDifference } from '../../../support/kernel-cases.js';
import type { NeuronAttrs } from '../../../support/lif-reference.js';
import { ALL_NEURONS, neuronBackward, neuronForward } from '../../../support/lif-reference.js';

interface Sizes { readonly B: number; readonly L: number; readonly H: number; readonly K: number; readonly R: number; readonly attrs: NeuronAttrs }

/** Every quantity by its definition, one causal pair at a time; gradients in float64. */
function reference({ B, L, H, K, R, attrs }: Sizes, rate: number) {
  const [T, D] = [attrs.timeSteps, H * K];
  const random = numbers(L * 7 + K);
  const qkv = random.spikes(T * B * L * 3 * D, rate);
  const [gain, bias] = [random.floats(H), random.floats(H * R, 0.8)];
  const [dValues, dMeanMap] = [random.floats(T * B * L * D), random.floats(B * H * L * L)];
  const out = {
    values: new Float64Array(T * B * L * D), meanMap: new Float64Array(B * H * L * L), membrane: new Float32Array(T * B * H * L * L),
    dqkv: new Float64Array(qkv.length), dGain: new Float64Array(H), dBias: new Float64Array(H * R),
  };
  const steps = Array.from({ length: T }, (_, t) => t);
  const channels = Array.from({ length: K }, (_, c) => c);
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const at = ([t, i]: readonly [number, number], part: number, c: number): number => ((t * B + b) * L + i) * 3 * D + part * D + h * K + c;
      const inV = (t: number, i: number, c: number): number => ((t * B + b) * L + i) * D + h * K + c;
      for (let i = 0; i < L; i++) {
        for (let j = 0; j <= i; j++) {
          const counts = steps.map((t) => channels.reduce((n, c) => n + qkv[at([t, i], 0, c)]! * qkv[at([t, j], 1, c)]!, 0));
          const current = counts.map((n) => Math.fround(Math.fround(n * gain[h]!) + bias[h * R + i - j]!));
          const { u, s } = neuronForward(current, attrs);
          const pair = ((b * H) + h) * L * L + i * L + j;
          const ds = steps.map((t) => dMeanMap[pair]! / T + channels.reduce((sum, c) => sum + dValues[inV(t, i, c)]! * qkv[at([t, j], 2, c)]!, 0));
          const dI = neuronBackward(ds, u, attrs);
          for (const t of steps) {
            out.membrane[t * B * H * L * L + pair] = u[t]!;
            out.meanMap[pair]! += s[t]! / T;
            out.dGain[h]! += dI[t]! * counts[t]!;
            out.dBias[h * R + i - j]! += dI[t]!;
            for (const c of channels) {
              out.values[inV(t, i, c)]! += s[t]! * qkv[at([t, j], 2, c)]!;
              out.dqkv[at([t, i], 0, c)]! += dI[t]! * gain[h]! * qkv[at([t, j], 1, c)]!;
              out.dqkv[at([t, j], 1, c)]! += dI[t]! * gain[h]! * qkv[at([t, i], 0, c)]!;
              out.dqkv[at([t, j], 2, c)]! += s[t]! * dValues[inV(t, i, c)]!;
            }
          }
        }
      }
    }
  }
  return { inputs: { qkv, gain, bias, dValues, dMeanMap }, out };
}

function check(sizes: Sizes, rate: number): void {
  const { B, L, H, K, R, attrs } = sizes;
  const [T, D] = [attrs.timeSteps, H * K];
  const { inputs, out } = reference(sizes, rate);
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
