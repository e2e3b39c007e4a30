import { expect } from 'chai';

import { startWasm } from '../../../../src/core/backend/wasm.js';
import { callKernel, numbers, relativeDifference } from '../../../support/kernel-cases.js';
import type { NeuronAttrs } from '../../../support/lif-reference.js';
import { ALL_NEURONS, neuronBackward, neuronForward, surrogate } from '../../../support/lif-reference.js';

const ONE = Float32Array.of(1);
const ZERO = Float32Array.of(0);

/** The published examples: input, threshold, and per reset the membranes and spikes. */
const GOLDEN = [
  { input: [0.6, 0.6, 0.6, 0.6], threshold: 1, soft: [[0.6, 1.14, 0.626, 1.1634], '0101'], leaked: [[0.6, 1.14, 0.726, 1.2534], '0101'], hard: [[0.6, 1.14, 0.6, 1.14], '0101'] },
  { input: [0.6, 0.6, 0.6, 0.6], threshold: 0.7, soft: [[0.6, 1.14, 0.926, 0.7334], '0111'], leaked: [[0.6, 1.14, 0.996, 0.8664], '0111'], hard: [[0.6, 1.14, 0.6, 1.14], '0101'] },
  { input: [1.5, 0.2, 0.9, 0.1], threshold: 1, soft: [[1.5, 0.55, 1.395, 0.3555], '1010'], leaked: [[1.5, 0.65, 1.485, 0.5365], '1010'], hard: [[1.5, 0.2, 1.08, 0.1], '1010'] },
  { input: [-0.5, 1.8, 0.4, 2.5], threshold: 0.7, soft: [[-0.5, 1.35, 0.915, 2.6235], '0111'], leaked: [[-0.5, 1.35, 0.985, 2.7565], '0111'], hard: [[-0.5, 1.35, 0.4, 2.86], '0101'] },
] as const;

interface Layer {
  readonly rows: number; readonly channels: number; readonly onOff: boolean; readonly constant: boolean; readonly groups: number;
  readonly attrs: NeuronAttrs;
}

/** The kernel's outputs beside those of the scalar neurons. */
function compare(layer: Layer): Record<'spikes' | 'rates' | 'dx' | 'dGain' | 'dBias', number> {
  const { rows, channels, onOff, constant, groups, attrs } = layer;
  const [T, E] = [attrs.timeSteps, onOff ? 2 * channels : channels];
  const steps = constant ? 1 : T;
  const random = numbers(rows * 31 + channels);
  const x = random.floats(steps * rows * channels, 2);
  const [gain, bias, dSpikes, dRates] = [random.floats(E, 1.5), random.floats(E, 0.5), random.floats(T * rows * E), random.floats(groups, T * rows)];
  const slots = (T * rows * E) / groups;
  const expected = {
    spikes: new Float32Array(T * rows * E), rates: new Float64Array(groups), dx: new Float64Array(x.length),
    dGain: new Float64Array(E), dBias: new Float64Array(E),
  };
  for (let n = 0; n < rows; n++) {
    for (let e = 0; e < E; e++) {
      const sign = e < channels ? 1 : -1;
      const inX = (t: number): number => ((constant ? 0 : t) * rows + n) * channels + (e % channels);
      const inE = (t: number): number => (t * rows + n) * E + e;
      const steps = Array.from({ length: T }, (_, t) => t);
      const current = steps.map((t) => Math.fround(Math.fround(sign * (x[inX(t)] ?? 0) * (gain[e] ?? 0)) + (bias[e] ?? 0)));
      const { u, s } = neuronForward(current, attrs);
      const group = Math.floor(e / (E / groups));
      const dI = neuronBackward(steps.map((t) => (dSpikes[inE(t)] ?? 0) + (dRates[group] ?? 0) / slots), u, attrs);
      for (const t of steps) {
        expected.spikes[inE(t)] = s[t] ?? 0;
        expected.rates[group]! += (s[t] ?? 0) / slots;
        expected.dx[inX(t)]! += sign * (dI[t] ?? 0) * (gain[e] ?? 0);
        expected.dGain[e]! += sign * (dI[t] ?? 0) * (x[inX(t)] ?? 0);
        expected.dBias[e]! += dI[t] ?? 0;
      }
    }
  }
  const inputs = { x: { values: x, shape: [steps, rows, channels] }, gain: { values: gain, shape: [E] }, bias: { values: bias, shape: [E] } };
  const all = { ...attrs, onOff, groups };
  const [spikes, rates] = callKernel('BispikLif', inputs, all);
  const gradInputs = { ...inputs, dSpikes: { values: dSpikes, shape: [T, rows, E] }, dRates: { values: dRates, shape: [groups] } };
  const [dx, dGain, dBias] = callKernel('BispikLifGrad', gradInputs, all);
  return {
    spikes: spikes?.values.length === expected.spikes.length ? spikes.values.filter((value, i) => value !== expected.spikes[i]).length : Number.NaN,
    rates: relativeDifference(rates?.values ?? [], expected.rates),
    dx: relativeDifference(dx?.values ?? [], expected.dx), dGain: relativeDifference(dGain?.values ?? [], expected.dGain),
    dBias: relativeDifference(dBias?.values ?? [], expected.dBias),
  };
}

describe('wasm kernels: LIF', () => {
  before(startWasm);

  for (const { input, threshold, soft, leaked, hard } of GOLDEN) {
    for (const [reset, [membranes, spikes]] of Object.entries({ soft, 'soft-leaked': leaked, hard }) as ['soft', typeof soft][]) {
      it(`golden vector ${input.join(' ')} at threshold ${threshold}, ${reset}`, () => {
        const attrs = { timeSteps: 4, decay: 0.9, threshold, reset, surrogate: 'atan', alpha: 2, detachReset: true } as const;
        const all = { ...attrs, onOff: false, groups: 1 };
        const inputs = { x: { values: Float32Array.from(input), shape: [4, 1, 1] }, gain: { values: ONE, shape: [1] }, bias: { values: ZERO, shape: [1] } };
        const [s, rates] = callKernel('BispikLif', inputs, all);
        expect([...(s?.values ?? [])].join('')).to.equal(spikes);
        expect(rates?.values[0]).to.equal([...spikes].filter((spike) => spike === '1').length / 4);
        // A membrane shows in the slope of the surrogate: with the gradient of one spike only, that of its own current is the slope.
        membranes.forEach((value, t) => {
          const dSpikes = { values: Float32Array.from(input, (_, i) => Number(i === t)), shape: [4, 1, 1] };
          const [dx] = callKernel('BispikLifGrad', { ...inputs, dSpikes, dRates: { values: ZERO, shape: [1] } }, all);
          expect(dx?.values[t]).to.be.closeTo(surrogate(value - threshold, attrs), 2e-6);
        });
      });
    }
  }

  it('the surrogate has the values of the published table', () => {
    const table = [[0, 1], [0.1, 0.91017], [0.25, 0.618486], [0.5, 0.2884], [1, 0.092], [-1, 0.092], [2, 0.024705]] as const;
    const one = { dSpikes: { values: ONE, shape: [1, 1, 1] }, dRates: { values: ZERO, shape: [1] }, gain: { values: ONE, shape: [1] }, bias: { values: ZERO, shape: [1] } };
    const attrs = { timeSteps: 1, decay: 0.9, threshold: 1, reset: 'soft', surrogate: 'atan', alpha: 2, detachReset: true, onOff: false, groups: 1 };
    for (const [x, slope] of table) {
      const [dx] = callKernel('BispikLifGrad', { ...one, x: { values: Float32Array.of(1 + x), shape: [1, 1, 1] } }, attrs);
      expect(dx?.values[0]).to.be.closeTo(slope, 5e-6);
    }
  });

  for (const attrs of ALL_NEURONS) {
    for (const onOff of [false, true]) {
      it(`${attrs.reset}, ${attrs.surrogate}, ${attrs.detachReset ? 'detached' : 'full'}${onOff ? ', on/off' : ''}: forward exact, gradients to 1e-5`, () => {
        for (const [rows, channels, timeSteps] of [[1, 1, 1], [3, 7, 2], [5, 8, 3], [2, 13, 4]] as const) {
          for (const constant of [false, true]) {
            const found = compare({ rows, channels, onOff, constant, groups: constant ? 1 : channels, attrs: { ...attrs, timeSteps } });
            expect(found.spikes, `${rows} × ${channels}, T = ${timeSteps}`).to.equal(0);
            expect(found.rates).to.be.below(1e-6);
            expect(found.dx).to.be.below(1e-5);
            expect(found.dGain).to.be.below(1e-5);
            expect(found.dBias).to.be.below(1e-5);
          }
        }
      });
    }
  }

  it('refuses a reset it does not know and shapes that do not fit', () => {
    const x = { values: ONE, shape: [1, 1, 1] };
    const attrs = { timeSteps: 1, decay: 0.9, threshold: 1, reset: 'none', surrogate: 'atan', alpha: 2, detachReset: true, onOff: false, groups: 1 };
    const inputs = { x, gain: { values: ONE, shape: [1] }, bias: { values: ZERO, shape: [1] } };
    expect(() => callKernel('BispikLif', inputs, attrs)).to.throw('soft, soft-leaked, hard').with.property('exitCode', 6);
    expect(() => callKernel('BispikLif', inputs, { ...attrs, reset: 'soft', onOff: true })).to.throw('float32 [2] was expected').with.property('exitCode', 5);
    expect(() => callKernel('BispikLif', inputs, { ...attrs, reset: 'soft', groups: 2 })).to.throw('1 neurons do not divide into 2').with.property('exitCode', 5);
  });
});
