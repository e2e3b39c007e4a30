import { readFileSync } from 'node:fs';

import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import type { LifNeuron } from '../../src/core/ops/lif.js';
import { encodeRate, lif } from '../../src/core/ops/lif.js';
import { describeOnBackends, expectClose } from '../support/backends.js';
import type { ReferenceTensor } from '../support/student-reference.js';

interface LifCase { neuron: LifNeuron; onOff: boolean; spikes: number[]; dx: number[]; dGain: number[]; dBias: number[] }
interface LifGroup { name: string; inputs: Record<'x' | 'gain' | 'bias' | 'dy', ReferenceTensor>; cases: LifCase[] }

const { groups } = JSON.parse(readFileSync(new URL('../fixtures/student-reference/lif.json', import.meta.url), 'utf8')) as { groups: LifGroup[] };

const eq1: LifNeuron = { timeSteps: 4, decay: 0.9, threshold: 1, reset: 'soft', surrogate: 'atan', surrogateAlpha: 2, detachReset: true };

/** Spikes of one neuron fed the given currents, as a string of digits. */
async function spikeTrain(currents: readonly number[], neuron: LifNeuron): Promise<string> {
  const x = { x: tf.tensor3d([...currents], [currents.length, 1, 1]), gain: tf.ones<tf.Rank.R1>([1]), bias: tf.zeros<tf.Rank.R1>([1]) };
  const spikes = tf.tidy(() => lif({ ...x, onOff: false, groups: 1 }, neuron).spikes);
  return Array.from(await spikes.data()).join('');
}

describeOnBackends('LIF neuron', () => {
  // Worked by hand from Eq. 1 and its two variants, decay .9.
  const golden = [
    { currents: [0.6, 0.6, 0.6, 0.6], threshold: 1, soft: '0101', 'soft-leaked': '0101', hard: '0101' },
    { currents: [0.6, 0.6, 0.6, 0.6], threshold: 0.7, soft: '0111', 'soft-leaked': '0111', hard: '0101' },
    { currents: [1.5, 0.2, 0.9, 0.1], threshold: 1, soft: '1010', 'soft-leaked': '1010', hard: '1010' },
    { currents: [-0.5, 1.8, 0.4, 2.5], threshold: 0.7, soft: '0111', 'soft-leaked': '0111', hard: '0101' },
  ] as const;
  for (const { currents, threshold, ...trains } of golden) {
    for (const reset of ['soft', 'soft-leaked', 'hard'] as const) {
      it(`${reset} reset, threshold ${threshold}: currents ${currents.join(' ')} give ${trains[reset]}`, async () => {
        expect(await spikeTrain(currents, { ...eq1, threshold, reset })).to.equal(trains[reset]);
      });
    }
  }

  it('a constant current just below and above each breakpoint of Eq. 1 fires one spike more', async () => {
    const breakpoints = { 2: [0.5263, 1.0526], 4: [0.2908, 0.5525, 0.8433, 1.0788] };
    for (const [timeSteps, currents] of Object.entries(breakpoints)) {
      for (const [spikes, at] of currents.entries()) {
        const neuron = { ...eq1, timeSteps: Number(timeSteps) };
        const rates = tf.tidy(() => encodeRate(tf.tensor1d([at - 2e-4, at + 2e-4]), neuron));
        expectClose(await rates.data(), [spikes / neuron.timeSteps, (spikes + 1) / neuron.timeSteps], { absolute: 1e-6 }, `T = ${timeSteps}, current ${at}`);
      }
    }
  });

  for (const { name, inputs, cases } of groups) {
    it(`${name}: spikes and gradients of 3 resets x 3 surrogates, reset detached and kept`, async () => {
      const tensor = (key: keyof LifGroup['inputs']): tf.Tensor => tf.tensor(inputs[key].values, inputs[key].shape);
      for (const { neuron, onOff, ...expected } of cases) {
        const label = `${neuron.reset} ${neuron.surrogate} ${neuron.detachReset ? 'detached' : 'kept'}`;
        const run = (x: tf.Tensor, gain: tf.Tensor, bias: tf.Tensor): tf.Tensor =>
          lif({ x: x as tf.Tensor3D, gain: gain as tf.Tensor1D, bias: bias as tf.Tensor1D, onOff, groups: 1 }, neuron).spikes;
        const args = [tensor('x'), tensor('gain'), tensor('bias')];
        const spikes = run(args[0] as tf.Tensor, args[1] as tf.Tensor, args[2] as tf.Tensor);
        expect(Array.from(await spikes.data()), label).to.deep.equal(expected.spikes);
        const loss = (...at: tf.Tensor[]): tf.Scalar => tf.sum(tf.mul(run(at[0] as tf.Tensor, at[1] as tf.Tensor, at[2] as tf.Tensor), tensor('dy')));
        const [dx, dGain, dBias] = tf.grads(loss)(args) as [tf.Tensor, tf.Tensor, tf.Tensor];
        expectClose(await dx.data(), expected.dx, { absolute: 1e-5, relative: 1e-4 }, `${label}: dx`);
        expectClose(await dGain.data(), expected.dGain, { absolute: 1e-5, relative: 1e-4 }, `${label}: dGain`);
        expectClose(await dBias.data(), expected.dBias, { absolute: 1e-5, relative: 1e-4 }, `${label}: dBias`);
        tf.dispose([spikes, dx, dGain, dBias, ...args]);
      }
    });
  }

  it('rates by hand: two blocks of two neurons over T 2, and their gradient added to that of the spikes', async () => {
    const neuron = { ...eq1, timeSteps: 2, decay: 0.5 };
    // One row, channels a and b seen as (+a, +b, −a, −b). Currents 1.2, 0.2: +a: u = 1.2 fires, then 0.6 − 1 + 0.2 = −0.2 does not; −a and +b stay below 0.
    const x = tf.tensor3d([1.2, -1.5, 0.2, -1.1], [2, 1, 2]);
    const [gain, bias] = [tf.ones<tf.Rank.R1>([4]), tf.zeros<tf.Rank.R1>([4])];
    const { spikes, rates } = lif({ x, gain, bias, onOff: true, groups: 2 }, neuron);
    // −b: u = 1.5 fires, then 0.75 − 1 + 1.1 = 0.85 does not.
    expect(Array.from(await spikes.data())).to.deep.equal([1, 0, 0, 1, 0, 0, 0, 0]);
    expectClose(await rates.data(), [0.25, 0.25], { absolute: 1e-7 });
    const gradient = (weigh: (s: tf.Tensor, r: tf.Tensor) => tf.Tensor): tf.Tensor => tf.grad((at) => {
      const found = lif({ x: at as tf.Tensor3D, gain, bias, onOff: true, groups: 2 }, neuron);
      return weigh(found.spikes, found.rates);
    })(x);
    const dSpikes = tf.tensor3d([1, 2, 3, 4, 5, 6, 7, 8], [2, 1, 4]);
    const both = gradient((s, r) => tf.add(tf.sum(tf.mul(s, dSpikes)), tf.sum(tf.mul(r, [4, 8]))));
    // Each spike of a block is a quarter of its rate: 4/4 on the first two neurons, 8/4 on the others, in both time steps.
    const spread = tf.add(dSpikes, tf.tensor1d([1, 1, 2, 2]));
    const one = gradient((s) => tf.sum(tf.mul(s, spread)));
    expectClose(await both.data(), await one.data(), { absolute: 1e-6 });
    const ratesOnly = gradient((_s, r) => tf.sum(tf.mul(r, [4, 8])));
    const alone = gradient((s) => tf.sum(tf.mul(s, tf.tensor1d([1, 1, 2, 2]))));
    expectClose(await ratesOnly.data(), await alone.data(), { absolute: 1e-6 });
  });
});
