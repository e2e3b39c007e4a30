import { expect } from 'chai';

import { startWasm } from '../../../../src/core/backend/wasm.js';
import { callKernel } from '../../../support/kernel-cases.js';
import type { LifDifferences, LifLayerCase } from '../../../support/lif-layer.js';
import { lifDifferences, lifLayer } from '../../../support/lif-layer.js';
import { ALL_NEURONS, surrogate } from '../../../support/lif-reference.js';

const ONE = Float32Array.of(1);
const ZERO = Float32Array.of(0);

/** The published examples: input, threshold, and per reset the membranes and spikes. */
const GOLDEN = [
  { input: [0.6, 0.6, 0.6, 0.6], threshold: 1, soft: [[0.6, 1.14, 0.626, 1.1634], '0101'], leaked: [[0.6, 1.14, 0.726, 1.2534], '0101'], hard: [[0.6, 1.14, 0.6, 1.14], '0101'] },
  { input: [0.6, 0.6, 0.6, 0.6], threshold: 0.7, soft: [[0.6, 1.14, 0.926, 0.7334], '0111'], leaked: [[0.6, 1.14, 0.996, 0.8664], '0111'], hard: [[0.6, 1.14, 0.6, 1.14], '0101'] },
  { input: [1.5, 0.2, 0.9, 0.1], threshold: 1, soft: [[1.5, 0.55, 1.395, 0.3555], '1010'], leaked: [[1.5, 0.65, 1.485, 0.5365], '1010'], hard: [[1.5, 0.2, 1.08, 0.1], '1010'] },
  { input: [-0.5, 1.8, 0.4, 2.5], threshold: 0.7, soft: [[-0.5, 1.35, 0.915, 2.6235], '0111'], leaked: [[-0.5, 1.35, 0.985, 2.7565], '0111'], hard: [[-0.5, 1.35, 0.4, 2.86], '0101'] },
] as const;

/** The kernel's outputs beside those of the scalar neurons. */
function compare(layer: LifLayerCase): LifDifferences {
  const { inputs, gradients, attrs, expected } = lifLayer(layer);
  return lifDifferences([...callKernel('BispikLif', inputs, attrs), ...callKernel('BispikLifGrad', { ...inputs, ...gradients }, attrs)], expected);
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
