import * as tf from '@tensorflow/tfjs-core';

import { attentionValues } from '../ops/attention-alignment.js';
import { indicator } from '../ops/indicator.js';
import { meanOfAll, meanOver, stdOver } from '../ops/reduce.js';
import type { LifNeuron, SpikeTensor } from '../ops/lif.js';
import { lif } from '../ops/lif.js';

/** Bisection steps: the bias is found to its range / 2²⁴. */
const STEPS = 24;
/** Smallest spread a gain is divided by, so that a constant channel does not get an infinite gain. */
const SMALLEST_STD = 1e-3;

/** Standard deviation of every channel over all rows and time steps. @param x (T, N, C). @returns (C). */
export async function channelStd(x: tf.Tensor3D): Promise<Float32Array> {
  const std = tf.tidy(() => stdOver(x, [0, 1]));
  const values = (await std.data()) as Float32Array;
  std.dispose();
  return values.map((value) => Math.max(value, SMALLEST_STD));
}

/** Root of a rising function per element, by bisection between −limit and limit. */
async function bisect(count: number, limit: number, isAbove: (middle: Float32Array) => Promise<readonly boolean[]>): Promise<Float32Array> {
  const low = new Float64Array(count).fill(-limit);
  const high = new Float64Array(count).fill(limit);
  const middle = (): Float32Array => Float32Array.from(low, (value, i) => (value + (high[i] as number)) / 2);
  for (let step = 0; step < STEPS; step++) {
    const at = middle();
    (await isAbove(at)).forEach((above, i) => { (above ? high : low)[i] = at[i] as number; });
  }
  return middle();
}

/** Neurons whose bias is looked for. */
export interface NeuronSite {
  /** (T, N, C) or (1, N, C). */ readonly x: tf.Tensor3D;
  /** (E) */ readonly gain: Float32Array;
  readonly onOff: boolean;
  readonly neuron: LifNeuron;
}

/**
 * Bias per channel at which the real neurons fire at `rate` on this input (`scope: channel`), or the one bias at which the
 * site's mean rate is `rate` (`scope: site`). @returns (E).
 */
export async function biasForRate(site: NeuronSite, rate: number, scope: 'channel' | 'site'): Promise<Float32Array> {
  const width = site.gain.length;
  const gain = tf.tensor1d(site.gain);
  const reach = tf.tidy(() => tf.max(tf.abs(tf.mul(site.onOff ? tf.concat([site.x, site.x], 2) : site.x, gain))));
  const limit = ((await reach.data())[0] ?? 0) + 2 * site.neuron.threshold;
  const spread = (values: Float32Array): Float32Array => (scope === 'channel' ? values : new Float32Array(width).fill(values[0] ?? 0));
  const bias = await bisect(scope === 'channel' ? width : 1, limit, async (middle) => {
    const rates = tf.tidy(() => {
      const { spikes } = lif({ x: site.x, gain, bias: tf.tensor1d(spread(middle)), onOff: site.onOff, groups: 1 }, site.neuron);
      const perChannel = meanOver(spikes, [0, 1]);
      return scope === 'channel' ? perChannel : tf.reshape(meanOfAll(perChannel), [1]);
    });
    const found = await rates.data();
    rates.dispose();
    return Array.from(found, (value) => value > rate);
  });
  tf.dispose([gain, reach]);
  return spread(bias);
}

/** Query and key spikes whose attention neurons are set. */
export interface AttentionSite {
  /** (T, B, L, 3D) */ readonly qkv: SpikeTensor<tf.Rank.R4>;
  readonly heads: number;
  readonly neuron: LifNeuron;
}

/** Standard deviation of the overlap counts of causal pairs per head. @returns (H). */
export async function countStd(site: AttentionSite): Promise<Float32Array> {
  const std = tf.tidy(() => {
    const [timeSteps, batch, length, width] = site.qkv.shape;
    const [q, k] = tf.split(site.qkv, 3, 3).map((part) =>
      tf.transpose(tf.reshape(part, [timeSteps * batch, length, site.heads, width / 3 / site.heads]), [0, 2, 1, 3])) as [tf.Tensor4D, tf.Tensor4D];
    const index = tf.range(0, length);
    const mask = indicator(tf.greaterEqual(tf.expandDims(index, 1), tf.expandDims(index, 0)));
    const counts = tf.mul(tf.matMul(q, k, false, true), mask);
    const pairs = (timeSteps * batch * length * (length + 1)) / 2;
    const mean = tf.div(tf.sum(counts, [0, 2, 3]), pairs);
    return tf.sqrt(tf.relu(tf.sub(tf.div(tf.sum(tf.square(counts), [0, 2, 3]), pairs), tf.square(mean))));
  });
  const values = (await std.data()) as Float32Array;
  std.dispose();
  return values.map((value) => Math.max(value, SMALLEST_STD));
}

/**
 * One current per head, the same at every distance, at which the given share of causal pairs fires (`what: bias`); or, with no
 * distance current, the gain per head that does so (`what: gain`, searched on a logarithmic scale).
 * @returns (H).
 */
export async function attentionForDensity(site: AttentionSite, density: number, what: { find: 'bias'; gain: Float32Array } | { find: 'gain' }): Promise<Float32Array> {
  const { qkv, heads, neuron } = site;
  const [, batch, length, width] = qkv.shape;
  const pairs = (batch * length * (length + 1)) / 2;
  const strongest = what.find === 'bias' ? (Math.max(...what.gain) * width) / 3 / heads : 0;
  const limit = what.find === 'bias' ? strongest + 2 * neuron.threshold : Math.log(1e4);
  const found = await bisect(heads, limit, async (middle) => {
    const densities = tf.tidy(() => {
      const gain = tf.tensor1d(what.find === 'bias' ? what.gain : middle.map(Math.exp));
      const bias = what.find === 'bias' ? tf.tensor2d(middle, [heads, 1]) : tf.zeros([heads, 1]);
      const { counts } = attentionValues({ qkv, gain, distanceBias: tf.tile(bias, [1, length]) as tf.Tensor2D, heads }, neuron);
      return tf.div(tf.sum(counts, [0, 2]), pairs * neuron.timeSteps);
    });
    const values = await densities.data();
    densities.dispose();
    return Array.from(values, (value) => value > density);
  });
  return what.find === 'bias' ? found : found.map(Math.exp);
}
