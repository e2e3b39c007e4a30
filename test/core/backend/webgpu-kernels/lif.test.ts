import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { describeOnWebGpu } from '../../../support/backends.js';
import { awaitKernel } from '../../../support/kernel-cases.js';
import type { LifLayerCase } from '../../../support/lif-layer.js';
import { lifDifferences, lifLayer } from '../../../support/lif-layer.js';
import { ALL_NEURONS } from '../../../support/lif-reference.js';

/** A device may fuse a product and a sum: spikes must agree where no membrane is this near to the threshold. */
const ROUNDING = 1e-5;

async function expectScalarNeurons(layer: LifLayerCase): Promise<void> {
  const { inputs, gradients, attrs, expected } = lifLayer(layer);
  expect(expected.margin, 'this case says nothing about spikes').to.be.above(ROUNDING);
  const found = lifDifferences([...await awaitKernel('BispikLif', inputs, attrs), ...await awaitKernel('BispikLifGrad', { ...inputs, ...gradients }, attrs)], expected);
  const label = JSON.stringify(layer);
  expect(found.spikes, label).to.equal(0);
  expect(found.rates, label).to.be.below(2e-7);
  for (const name of ['dx', 'dGain', 'dBias'] as const) expect(found[name], `${name} of ${label}`).to.be.below(1e-5);
}

describeOnWebGpu('WebGPU kernels: LIF', () => {
  // Every neuron once; between them T = 1..4, on/off pairs or not, a current that is constant or not, one float or four at once.
  ALL_NEURONS.forEach((neuron, i) => {
    const timeSteps = 1 + ((i + Math.floor(i / 4)) % 4);
    const [onOff, constant] = [Math.floor(i / 2) % 2 === 1, i % 3 === 2];
    const channels = [5, 8, 13, 12][i % 4] ?? 1;
    it(`${neuron.reset}, ${neuron.surrogate}, ${neuron.detachReset ? 'detached' : 'full'}${onOff ? ', on/off' : ''}${constant ? ', constant' : ''}, T = ${timeSteps}, ${channels} channels`, async () => {
      await expectScalarNeurons({ rows: 3 + (i % 3), channels, onOff, constant, groups: onOff ? 2 : channels, attrs: { ...neuron, timeSteps } });
    });
  });

  it('eight time steps, and groups whose borders fall within four neighbouring channels', async () => {
    const neuron = { ...ALL_NEURONS[0]!, timeSteps: 8 };
    await expectScalarNeurons({ rows: 2, channels: 12, onOff: false, constant: false, groups: 6, attrs: neuron });
  });

  it('more rows than one workgroup sums, and the same bits every time', async () => {
    const layer = lifLayer({ rows: 1030, channels: 1, onOff: false, constant: false, groups: 1, attrs: { ...ALL_NEURONS[0]!, timeSteps: 2 } });
    const gradient = async (): Promise<Float32Array[]> => (await awaitKernel('BispikLifGrad', { ...layer.inputs, ...layer.gradients }, layer.attrs)).map(({ values }) => values);
    const [rates, first] = [(await awaitKernel('BispikLif', layer.inputs, layer.attrs))[1]?.values, await gradient()];
    expect(rates?.[0]).to.equal(Math.fround(layer.expected.rates[0]!));
    expect(first[1]?.[0]).to.be.closeTo(layer.expected.dGain[0]!, 1e-4 * 1030);
    expect(await gradient()).to.deep.equal(first);
  });

  it('nothing stays on the device but what the caller keeps', async () => {
    const layer = lifLayer({ rows: 600, channels: 4, onOff: true, constant: false, groups: 2, attrs: { ...ALL_NEURONS[0]!, timeSteps: 2 } });
    const pass = async (): Promise<number> => {
      await awaitKernel('BispikLif', layer.inputs, layer.attrs);
      await awaitKernel('BispikLifGrad', { ...layer.inputs, ...layer.gradients }, layer.attrs);
      return tf.backend().numDataIds();
    };
    const before = await pass();
    expect(await pass()).to.equal(before);
  });

  it('a membrane exactly at the threshold fires', async () => {
    const attrs = { timeSteps: 1, decay: 0.5, threshold: 0.75, reset: 'soft', surrogate: 'atan', alpha: 2, detachReset: true, onOff: false, groups: 1 };
    const x = { values: Float32Array.of(0.75, 0.75 - 2 ** -24, 1, -1), shape: [1, 1, 4] };
    const [spikes] = await awaitKernel('BispikLif', { x, gain: { values: new Float32Array(4).fill(1), shape: [4] }, bias: { values: new Float32Array(4), shape: [4] } }, attrs);
    expect([...(spikes?.values ?? [])]).to.deep.equal([1, 0, 1, 0]);
  });
});
