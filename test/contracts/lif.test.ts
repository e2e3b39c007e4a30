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
  const spikes = tf.tidy(() => lif({ x: tf.tensor3d([...currents], [currents.length, 1, 1]), gain: tf.ones([1]), bias: tf.zeros([1]), onOff: false }, neuron));
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
          lif({ x: x as tf.Tensor3D, gain: gain as tf.Tensor1D, bias: bias as tf.Tensor1D, onOff }, neuron);
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
});
