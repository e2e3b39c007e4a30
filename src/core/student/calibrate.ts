import * as tf from '@tensorflow/tfjs-core';

import { freeUnusedMemory } from '../backend/unused-memory.js';
import { attentionValues } from '../ops/attention-alignment.js';
import { indicator } from '../ops/indicator.js';
import { meanOfAll, meanOver, scale } from '../ops/reduce.js';
import type { LifNeuron } from '../ops/lif.js';
import { lif } from '../ops/lif.js';
import type { ChannelGroups, Groups } from './groups.js';
import { ranges, START_NUMBERS, stdOfGroups } from './groups.js';

/** Bisection steps: the bias is found to its range / 2²⁴. */
const STEPS = 24;
/** Attention and attention-output gains: 1/(1.5·std), so that typical inputs stay below the threshold. */
export const GAIN_STDS = 1.5;
/** Smallest spread a gain is divided by, so that a constant channel does not get an infinite gain. */
const SMALLEST_STD = 1e-3;

/** Standard deviation of every channel over all rows and time steps, at least .001. @param x (T, n, C) a group. @returns (C). */
export async function channelStd(x: Pick<Groups, 'count' | 'at'>): Promise<Float32Array> {
  return (await stdOfGroups(x, [0, 1])).map((value) => Math.max(value, SMALLEST_STD));
}

/** Root of a rising function per element, by bisection between −limit and limit. */
async function bisect(count: number, limit: number, areAbove: (middle: Float32Array) => Promise<readonly boolean[]>): Promise<Float32Array> {
  const low = new Float64Array(count).fill(-limit);
  const high = new Float64Array(count).fill(limit);
  const middle = (): Float32Array => Float32Array.from(low, (value, i) => (value + (high[i] as number)) / 2);
  for (let step = 0; step < STEPS; step++) {
    const at = middle();
    (await areAbove(at)).forEach((above, i) => { (above ? high : low)[i] = at[i] as number; });
  }
  return middle();
}

/** Neurons whose bias is looked for. */
export interface NeuronSite<X = Groups> {
  /** (T, n, C) or (1, n, C) a group. */ readonly x: X;
  /** (E) */ readonly gain: Float32Array;
  readonly onOff: boolean;
  readonly neuron: LifNeuron;
}

/**
 * Bias per channel at which the real neurons fire at `rate` on this input. Channels are independent of each other, so as many at a time as `atOnce`
 * numbers hold see all windows; spikes are counted exactly, so neither groups nor ranges of channels change a bit. @returns (E).
 */
export async function channelBias(site: NeuronSite<ChannelGroups>, rate: number, atOnce = START_NUMBERS): Promise<Float32Array> {
  const { x, gain, onOff, neuron } = site;
  const { limit, rows } = await reachOf(site);
  const width = onOff ? gain.length / 2 : gain.length;
  const bias = new Float32Array(gain.length);
  for (const [from, count] of ranges(width, { rows: rows * neuron.timeSteps * (onOff ? 2 : 1), atOnce })) {
    const parts = onOff ? [from, width + from] : [from];
    const own = { x: x.columns(from, count), gain: tf.tensor1d(Float32Array.from(parts.flatMap((start) => [...gain.subarray(start, start + count)]))) };
    const found = await bisect(own.gain.size, limit, (middle) => isAbove(rate, () =>
      meanOver(lif({ ...own, bias: tf.tensor1d(middle), onOff, groups: 1 }, neuron).spikes, [0, 1])));
    parts.forEach((start, i) => { bias.set(found.subarray(i * count, (i + 1) * count), start); });
    tf.dispose([own.x, own.gain]);
    freeUnusedMemory();
  }
  return bias;
}

/** The one bias at which all neurons of a site together fire at `rate`. @returns (E), all equal. */
export async function siteBias(site: NeuronSite, rate: number): Promise<Float32Array> {
  const { x, onOff, neuron } = site;
  const gain = tf.tensor1d(site.gain);
  const { limit, rows } = await reachOf(site);
  const everywhere = (value: Float32Array): Float32Array => new Float32Array(gain.size).fill(value[0] as number);
  const found = await bisect(1, limit, (middle) => isAbove(rate, () => {
    const bias = tf.tensor1d(everywhere(middle));
    const spikes = sumOverGroups(x.count, (group) => tf.sum(lif({ x: x.at(group), gain, bias, onOff, groups: 1 }, neuron).spikes, [0, 1]));
    return tf.reshape(meanOfAll(scale(spikes, 1 / (rows * neuron.timeSteps))), [1]);
  }));
  gain.dispose();
  freeUnusedMemory();
  return everywhere(found);
}

/** A bound no bias needs to pass: the largest current of any neuron and two thresholds. And the rows N. */
async function reachOf({ x, gain, onOff, neuron }: NeuronSite): Promise<{ limit: number; rows: number }> {
  const width = onOff ? gain.length / 2 : gain.length;
  const strongest = gain.subarray(0, width).map((value, i) => Math.max(Math.abs(value), onOff ? Math.abs(gain[width + i] as number) : 0));
  let [reach, rows] = [0, 0];
  for (let group = 0; group < x.count; group++) {
    const ends = tf.tidy(() => {
      const values = x.at(group);
      rows += values.shape[1];
      const currents = tf.mul(values, tf.tensor1d(strongest));
      return tf.stack([tf.max(currents), tf.min(currents)]);
    });
    reach = Math.max(reach, ...Array.from(await ends.data(), Math.abs));
    ends.dispose();
  }
  freeUnusedMemory();
  return { limit: reach + 2 * neuron.threshold, rows };
}

/** Which of the values that `compute` makes are above `goal`. */
async function isAbove(goal: number, compute: () => tf.Tensor): Promise<readonly boolean[]> {
  const tensor = tf.tidy(compute);
  const values = await tensor.data();
  tensor.dispose();
  return Array.from(values, (value) => value > goal);
}

/** Σ over groups, in order; exact where the summands are counts. */
function sumOverGroups<X extends tf.Tensor>(count: number, compute: (group: number) => X): X {
  let sum = tf.tidy(() => compute(0));
  for (let group = 1; group < count; group++) {
    const before = sum;
    sum = tf.tidy(() => tf.add(before, compute(group)));
    before.dispose();
  }
  return sum;
}

/** Query and key spikes whose attention neurons are set. */
export interface AttentionSite {
  /** (T, b, L, 3D) a group, or those of some heads. */ readonly qkv: Groups<tf.Rank.R4>;
  readonly heads: number;
  readonly neuron: LifNeuron;
}

/** Standard deviation of the overlap counts of causal pairs per head. @returns (H). */
export async function countStd(site: AttentionSite): Promise<Float32Array> {
  const { qkv } = site;
  const std = tf.tidy(() => {
    let pairs = 0;
    const sums = sumOverGroups(qkv.count, (group) => {
      const { counts, causalPairs } = overlaps(qkv.at(group), site.heads);
      pairs += causalPairs;
      const sum = tf.sum(counts, [0, 2, 3]);
      const squares = tf.square(counts);
      counts.dispose(); // a sum along these axes takes as much again
      return tf.stack([sum, tf.sum(squares, [0, 2, 3])]);
    });
    const [mean, square] = tf.unstack(tf.div(sums, pairs)) as [tf.Tensor, tf.Tensor];
    return tf.sqrt(tf.relu(tf.sub(square, tf.square(mean))));
  });
  const values = (await std.data()) as Float32Array;
  std.dispose();
  freeUnusedMemory();
  return values.map((value) => Math.max(value, SMALLEST_STD));
}

/** q·k of causal pairs, 0 for others, (T·b, H, L, L); and how many pairs a head has. */
function overlaps(qkv: tf.Tensor4D, heads: number): { counts: tf.Tensor; causalPairs: number } {
  const [timeSteps, batch, length, width] = qkv.shape;
  const counts = tf.tidy(() => {
    const [q, k] = tf.split(qkv, 3, 3).map((part) =>
      tf.transpose(tf.reshape(part, [timeSteps * batch, length, heads, width / 3 / heads]), [0, 2, 1, 3])) as [tf.Tensor4D, tf.Tensor4D];
    const index = tf.range(0, length);
    const mask = indicator(tf.greaterEqual(tf.expandDims(index, 1), tf.expandDims(index, 0)));
    return tf.mul(tf.matMul(q, k, false, true), mask);
  });
  return { counts, causalPairs: (timeSteps * batch * length * (length + 1)) / 2 };
}

/** What makes attention fire as often as wanted: a current, beside a gain whose largest, of all heads, is `strongest`; or a gain. */
export type DensityKnob = { readonly find: 'bias'; readonly gain: Float32Array; readonly strongest: number } | { readonly find: 'gain' };

/**
 * One current per head, the same at every distance, at which the given share of causal pairs fires (`find: bias`); or, with no
 * distance current, the gain per head that does so (`find: gain`, searched on a logarithmic scale).
 * @returns (H).
 */
export async function attentionForDensity({ qkv, heads, neuron }: AttentionSite, density: number, knob: DensityKnob): Promise<Float32Array> {
  const [, , length, width] = tf.tidy(() => qkv.at(0).shape);
  const limit = knob.find === 'bias' ? (knob.strongest * width) / 3 / heads + 2 * neuron.threshold : Math.log(1e4);
  const found = await bisect(heads, limit, (middle) => isAbove(density, () => {
    const gain = tf.tensor1d(knob.find === 'bias' ? knob.gain : middle.map(Math.exp));
    const bias = knob.find === 'bias' ? tf.tensor2d(middle, [heads, 1]) : tf.zeros([heads, 1]);
    const distanceBias = tf.tile(bias, [1, length]) as tf.Tensor2D;
    let pairs = 0;
    const spikes = sumOverGroups(qkv.count, (group) => {
      const input = { qkv: qkv.at(group), gain, distanceBias, heads };
      pairs += (input.qkv.shape[1] * length * (length + 1)) / 2;
      return tf.sum(attentionValues(input, neuron).counts, [0, 2]);
    });
    return tf.div(spikes, pairs * neuron.timeSteps);
  }));
  freeUnusedMemory();
  return knob.find === 'bias' ? found : found.map(Math.exp);
}
