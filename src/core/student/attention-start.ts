import * as tf from '@tensorflow/tfjs-core';

import type { StoredSpikes } from '../ops/spike-linear.js';
import { storedLinear } from '../ops/spike-linear.js';
import { plainLif } from '../ops/lif.js';
import type { BlockStart } from './block-start.js';
import { setParameter } from './block-start.js';
import { attentionForDensity, countStd, GAIN_STDS } from './calibrate.js';
import type { Groups } from './groups.js';
import { ranges } from './groups.js';
import { layerName, parameter } from './parameters.js';

/** What queries, keys and values come from, and they themselves. */
interface AttentionSpikes {
  /** Entrance spikes of every group. */ readonly entry: readonly StoredSpikes[];
  /** (T, n, 3D) a group. */ readonly qkv: Groups;
}

/** Sets gain and distance current of attention, a range of heads at a time: as many as keep the spikes of all windows below the start's numbers. */
export async function startAttentionNeurons(spikes: AttentionSpikes, start: BlockStart): Promise<void> {
  const { config, calibration: { attentionDensity }, windows: { tokens }, atOnce } = start;
  const { heads, neuron, contextLength, relativeBias } = config;
  const rows = neuron.timeSteps * tokens * 3 * (config.hiddenSize / heads);
  const perHead = async (find: (site: Parameters<typeof countStd>[0], from: number) => Promise<Float32Array>): Promise<Float32Array> => {
    const found = new Float32Array(heads);
    for (const [from, count] of ranges(heads, { rows, atOnce })) {
      const qkv = headSpikes(spikes, { from, count }, start);
      found.set(await find({ qkv, heads: count, neuron }, from), from);
      qkv.dispose();
    }
    return found;
  };
  if (!relativeBias) {
    setParameter(start, 'attention.gain', { values: await perHead((site) => attentionForDensity(site, attentionDensity, { find: 'gain' })), shape: [heads] });
    return;
  }
  const gain = (await perHead(countStd)).map((std) => 1 / (GAIN_STDS * std));
  const strongest = Math.max(...gain);
  const bias = await perHead((site, from) => attentionForDensity(site, attentionDensity, { find: 'bias', gain: gain.slice(from, from + site.heads), strongest }));
  setParameter(start, 'attention.gain', { values: gain, shape: [heads] });
  const perDistance = Float32Array.from({ length: heads * contextLength }, (_, i) => bias[Math.floor(i / contextLength)] as number);
  setParameter(start, 'attention.distance_bias', { values: perDistance, shape: [heads, contextLength] });
}

/** Query, key and value spikes (T, b, L, 3·count·K) of some heads, kept on the backend until disposed. */
function headSpikes({ entry, qkv }: AttentionSpikes, { from, count }: { readonly from: number; readonly count: number }, start: BlockStart): Groups<tf.Rank.R4> {
  const { windows, config: { neuron, heads, hiddenSize }, parameters, layer } = start;
  const columns = (name: string, inputs: number): tf.Tensor => {
    const all = parameter(parameters, layerName(layer, name));
    return tf.reshape(tf.slice(tf.reshape(all, [inputs, 3, heads, hiddenSize / heads]), [0, 0, from, 0], [-1, -1, count, -1]), [inputs, -1]);
  };
  const spikesOf = (group: number): tf.Tensor3D => {
    if (count === heads) return qkv.at(group);
    const own = entry[group] as StoredSpikes;
    const current = storedLinear(own, columns('qkv.weight', own.shape[2]) as tf.Tensor2D, tf.reshape(columns('qkv.bias', 1), [-1]));
    return plainLif({ x: current, groups: 1 }, neuron).spikes;
  };
  const kept = Array.from({ length: windows.count }, (_, group) => tf.tidy(() => {
    const spikes = spikesOf(group);
    return tf.reshape<tf.Rank.R4>(spikes, [spikes.shape[0], windows.batch(group), windows.length, spikes.shape[2]]);
  }));
  return { count: kept.length, at: (group) => tf.clone(kept[group] as tf.Tensor4D), dispose: () => { tf.dispose(kept); } };
}
