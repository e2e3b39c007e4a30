import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { createRandom } from '../../../src/core/corpus/random.js';
import type { LifNeuron } from '../../../src/core/ops/lif.js';
import { lif } from '../../../src/core/ops/lif.js';
import { spikingAttention } from '../../../src/core/ops/spiking-attention.js';
import { prepareBackend } from '../../../src/core/pipeline/prepare-backend.js';
import { attentionForDensity, channelBias, channelStd, countStd, siteBias } from '../../../src/core/student/calibrate.js';
import { channelGroups, oneGroup } from '../../../src/core/student/groups.js';
import { expectClose } from '../../support/backends.js';
import { channelsInGroups, inGroups } from '../../support/grouped.js';
import { HALF_LEAK } from '../../support/loss-inputs.js';

const ONE_STEP: LifNeuron = { ...HALF_LEAK, timeSteps: 1 };

type Site = Parameters<typeof countStd>[0];
const whole = (x: tf.Tensor3D) => channelGroups(oneGroup(x));

/** Firing rate per channel of a site with a bias. */
const ratesWith = (x: tf.Tensor3D, gain: Float32Array, bias: Float32Array, how: { onOff: boolean; neuron: LifNeuron }): Float32Array =>
  tf.tidy(() => tf.mean(lif({ x, gain: tf.tensor1d(gain), bias: tf.tensor1d(bias), onOff: how.onOff, groups: 1 }, how.neuron).spikes, [0, 1]).dataSync<'float32'>());

describe('calibration', () => {
  before(async () => { await prepareBackend('wasm'); });

  it('standard deviation per channel, by hand; a constant channel counts as .001', async () => {
    expectClose(await channelStd(oneGroup(tf.tensor3d([1, 5, 3, 5, 1, 5, 3, 5], [2, 2, 2]))), [1, 0.001], { absolute: 1e-7 });
  });

  it('bias per channel, by hand: of the inputs 0, 1, 2, 3 the rate ¼ lets one fire, so the bias is −1', async () => {
    // u = x + bias ≥ 1 for x = 3 alone: −2 ≤ bias < −1; bisection ends where a second one would begin to fire.
    const bias = await channelBias({ x: whole(tf.tensor3d([0, 1, 2, 3], [1, 4, 1])), gain: Float32Array.of(1), onOff: false, neuron: ONE_STEP }, 0.25);
    expectClose(bias, [-1], { absolute: 1e-5 });
  });

  it('bias per channel with gain and the pair: the off neuron sees −x', async () => {
    // On: 2x ≥ 1 − b fires for x = 3 alone up to b = −3. Off: −2x ≥ 1 − b, one fires (x = 0) up to where x = 1 joins: b = 3.
    const bias = await channelBias({ x: whole(tf.tensor3d([0, 1, 2, 3], [1, 4, 1])), gain: Float32Array.of(2, 2), onOff: true, neuron: ONE_STEP }, 0.25);
    expectClose(bias, [-3, 3], { absolute: 1e-5 });
  });

  it('meets the rate of every channel to one spike, through real neurons of several steps', async () => {
    const random = createRandom(2);
    const neuron: LifNeuron = { ...HALF_LEAK, timeSteps: 4, decay: 0.9 };
    const x = tf.tensor3d(Float32Array.from({ length: 4 * 100 * 6 }, (_, i) => (1 + (i % 6)) * random.normal()), [4, 100, 6]);
    for (const rate of [0.05, 0.12, 0.5]) {
      const gain = (await channelStd(oneGroup(x))).map((std) => 1 / std);
      const bias = await channelBias({ x: whole(x), gain, onOff: false, neuron }, rate);
      expectClose(ratesWith(x, gain, bias, { onOff: false, neuron }), new Array<number>(6).fill(rate), { absolute: 1.5 / 400 });
    }
  });

  it('one bias for a site: its mean rate is the target, its channels differ', async () => {
    const random = createRandom(3);
    const x = tf.tensor3d(Float32Array.from({ length: 300 * 3 }, (_, i) => (i % 3) + random.normal()), [1, 300, 3]);
    const gain = Float32Array.of(1, 1, 1);
    const bias = await siteBias({ x: oneGroup(x), gain, onOff: false, neuron: ONE_STEP }, 0.15);
    expect(new Set(bias).size).to.equal(1);
    const rates = ratesWith(x, gain, bias, { onOff: false, neuron: ONE_STEP });
    expectClose([rates.reduce((a, b) => a + b) / 3], [0.15], { absolute: 1.5 / 900 });
    expect(rates[2]).to.be.above(4 * (rates[0] as number));
  });

  /** Two heads of width 2, two tokens, one step: head 0 counts 2 / 1, 0; head 1 counts 0 / 2, 2. */
  let qkv: tf.Tensor<tf.Rank.R4>;
  before(() => { qkv = tf.tensor4d([
    [1, 1, 0, 0, /* k */ 1, 1, 1, 1, /* v */ 0, 0, 0, 0],
    [1, 0, 1, 1, /* k */ 0, 1, 1, 1, /* v */ 0, 0, 0, 0],
  ].flat(), [1, 1, 2, 12]); });

  it('standard deviation of causal counts per head, by hand: {2, 1, 0} and {0, 2, 2}', async () => {
    expectClose(await countStd({ qkv: oneGroup(qkv), heads: 2, neuron: ONE_STEP }), [Math.sqrt(2 / 3), Math.sqrt(8 / 9)], { absolute: 1e-6 });
  });

  it('distance current for a density, by hand: head 0 lets its 2 fire at .4 and all but the 0 at .7; head 1 none, then both 2s', async () => {
    // count + b ≥ 1: a 2 fires from b = −1 on, a 1 from 0, a 0 from 1. Bisection ends where one pair too many would fire.
    const gain = Float32Array.of(1, 1);
    const bias = await attentionForDensity({ qkv: oneGroup(qkv), heads: 2, neuron: ONE_STEP }, 0.4, { find: 'bias', gain, strongest: Math.max(...gain) });
    expectClose(bias, [0, -1], { absolute: 1e-5 });
    expectClose(await attentionForDensity({ qkv: oneGroup(qkv), heads: 2, neuron: ONE_STEP }, 0.7, { find: 'bias', gain, strongest: Math.max(...gain) }), [1, 1], { absolute: 1e-5 });
  });

  it('gain for a density without a distance current, by hand: counts 2 and 1 fire from gains ½ and 1 on', async () => {
    const gain = await attentionForDensity({ qkv: oneGroup(qkv), heads: 2, neuron: ONE_STEP }, 0.4, { find: 'gain' });
    expectClose(gain, [1, 0.5], { absolute: 1e-5 });
  });

  it('meets the density of every head within one pair', async () => {
    const random = createRandom(5);
    const neuron: LifNeuron = { ...HALF_LEAK, timeSteps: 2, decay: 0.9 };
    const spikes = tf.tensor4d(Float32Array.from({ length: 2 * 4 * 16 * 3 * 128 }, () => (random.next() < 0.3 ? 1 : 0)), [2, 4, 16, 384]);
    const site = { qkv: oneGroup<tf.Rank.R4>(spikes), heads: 2, neuron };
    const gain = (await countStd(site)).map((std) => 1 / (1.5 * std));
    const bias = await attentionForDensity(site, 0.1, { find: 'bias', gain, strongest: Math.max(...gain) });
    const densityAt = (shift: number): Float32Array => tf.tidy(() => {
      const distanceBias = tf.tile(tf.tensor2d(bias.map((b) => b + shift), [2, 1]), [1, 16]) as tf.Tensor2D;
      const { meanMap } = spikingAttention({ qkv: spikes, gain: tf.tensor1d(gain), distanceBias, heads: 2 }, neuron);
      return tf.div(tf.sum(meanMap, [0, 2, 3]), 4 * 16 * 17 / 2).dataSync<'float32'>();
    });
    // Counts are whole numbers, so the density jumps; the target lies inside the jump at the current found.
    const [below, above] = [densityAt(-1e-4), densityAt(1e-4)];
    for (const head of [0, 1]) {
      expect(below[head]).to.be.at.most(0.1);
      expect(above[head]).to.be.at.least(0.1);
      expect((above[head] as number) - (below[head] as number)).to.be.below(0.05);
    }
  });

  it('groups of rows, and channels or heads a few at a time, change no bit of what is counted; spreads to 1e-6', async () => {
    const random = createRandom(7);
    const neuron: LifNeuron = { ...HALF_LEAK, timeSteps: 3, decay: 0.9 };
    const x = tf.tensor3d(Float32Array.from({ length: 3 * 41 * 5 }, (_, i) => 40 + (1 + (i % 5)) * random.normal()), [3, 41, 5]);
    const parts = [7, 20, 14];
    expectClose(await channelStd(inGroups(x, parts)), await channelStd(oneGroup(x)), { absolute: 0, relative: 1e-6 });
    for (const onOff of [false, true]) {
      const gain = Float32Array.from({ length: onOff ? 10 : 5 }, () => 0.5 + random.next());
      const site = { gain, onOff, neuron };
      const expected = await channelBias({ ...site, x: whole(x) }, 0.2);
      for (const atOnce of [1, 3 * 41 * 4, 2 ** 20]) expect(await channelBias({ ...site, x: channelsInGroups(x, parts) }, 0.2, atOnce), `${onOff}, ${atOnce}`).to.deep.equal(expected);
      expect(await siteBias({ ...site, x: inGroups(x, parts) }, 0.3)).to.deep.equal(await siteBias({ ...site, x: oneGroup(x) }, 0.3));
    }
    const spikes = tf.tensor4d(Float32Array.from({ length: 3 * 5 * 9 * 24 }, () => (random.next() < 0.4 ? 1 : 0)), [3, 5, 9, 24]);
    const [one, groups] = [oneGroup<tf.Rank.R4>(spikes), inGroups<tf.Rank.R4>(spikes, [1, 3, 1])].map((qkv) => ({ qkv, heads: 2, neuron })) as [Site, Site];
    const gain = await countStd(one);
    expect(await countStd(groups)).to.deep.equal(gain);
    for (const knob of [{ find: 'gain' }, { find: 'bias', gain, strongest: Math.max(...gain) }] as const) expect(await attentionForDensity(groups, 0.2, knob)).to.deep.equal(await attentionForDensity(one, 0.2, knob));
  });

  it('leaves no tensor behind', async () => {
    const x = tf.tensor3d([0, 1, 2, 3], [1, 4, 1]);
    const before = tf.memory().numTensors;
    await channelStd(oneGroup(x));
    await siteBias({ x: oneGroup(x), gain: Float32Array.of(1, 1), onOff: true, neuron: ONE_STEP }, 0.25);
    await channelBias({ x: whole(x), gain: Float32Array.of(1, 1), onOff: true, neuron: ONE_STEP }, 0.25);
    await countStd({ qkv: oneGroup(qkv), heads: 2, neuron: ONE_STEP });
    await attentionForDensity({ qkv: oneGroup(qkv), heads: 2, neuron: ONE_STEP }, 0.4, { find: 'gain' });
    expect(tf.memory().numTensors).to.equal(before);
  });
});
