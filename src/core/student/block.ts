import * as tf from '@tensorflow/tfjs-core';

import type { LifOutput, SpikeTensor } from '../ops/lif.js';
import { lif, plainLif } from '../ops/lif.js';
import type { WrittenStream } from '../ops/residual.js';
import { addWrite, addWriteAndMean } from '../ops/residual.js';
import { spikeLinear } from '../ops/spike-linear.js';
import type { SpikeSite } from '../types.js';
import type { StudentConfig } from './config.js';
import { entranceWidth } from './config.js';
import type { StudentParameters } from './parameters.js';
import { layerName, parameter } from './parameters.js';

/** The spikes of one site in a forward pass; `query`, `key` and `value` come together under the site `query`. */
export interface SpikeEvent {
  readonly layer: number;
  readonly site: SpikeSite;
  /** (T, N, C), with 3D channels for `query`, or for `attention` how many keys of each query fired, over all time steps: (B, H, L). */ readonly spikes: tf.Tensor;
  /** Mean firing rate, (1), or (3) for `query`; null for the attention of a decoding session. */ readonly rates: tf.Tensor1D | null;
}

/** Sees every spike tensor of a forward pass. */
export type SpikeObserver = (event: SpikeEvent) => void;

/** Sees the firing rates of a forward pass. */
export type RateObserver = (event: Omit<SpikeEvent, 'spikes'>) => void;

/** Blocks of channels that are sites of their own. */
const sitesIn = (site: SpikeSite): number => (site === 'query' ? 3 : 1);

/** What a block needs beside its input. */
export interface BlockContext {
  readonly parameters: StudentParameters;
  readonly config: StudentConfig;
  readonly layer: number;
  /** From query, key and value spikes (T, N, 3D) to the summed values (T, N, D); sees past tokens too when decoding. */
  readonly attend: (layer: number, qkv: SpikeTensor<tf.Rank.R3>) => tf.Tensor3D;
  readonly observe: SpikeObserver;
}

/**
 * One block (paper, Fig. 2): neurons, spiking attention, write; neurons, two spiking linears, write.
 * Deviations, all ours and all optional (`StudentConfig`): learned gains and biases, the on/off pair, the distance current, and
 * writing the synaptic current instead of its spikes to the residual stream.
 * @param stream (T, N, D), or (1, N, D) while it is still the constant embedding current. @returns the stream after the block.
 */
export function block(stream: tf.Tensor3D, context: BlockContext): tf.Tensor3D {
  return passSubLayers(stream, context, addWrite);
}

/** `block`, and the mean over time of the stream after it. */
export function blockAndMean(stream: tf.Tensor3D, context: BlockContext): WrittenStream {
  return passSubLayers(stream, context, addWriteAndMean);
}

/** Adds what a sub-layer writes to a stream. */
type Addition<Sum> = (stream: tf.Tensor3D, written: tf.Tensor3D) => Sum;

function passSubLayers<Sum>(stream: tf.Tensor3D, context: BlockContext, add: Addition<Sum>): Sum {
  const attended = addAndFree({ stream, written: attentionSubLayer(stream, context) }, context, addWrite);
  return addAndFree({ stream: attended, written: feedForwardSubLayer(attended, context) }, context, add);
}

/** A written current is of no more use once it has been added, spikes may still be looked at. */
function addAndFree<Sum>({ stream, written }: { readonly stream: tf.Tensor3D; readonly written: tf.Tensor3D }, { config }: BlockContext, add: Addition<Sum>): Sum {
  const sum = add(stream, written);
  if (config.residualWrite === 'current') written.dispose();
  return sum;
}

/** SFSA (Algorithm 1) with the neurons around it: what it writes to the stream, (T, N, D). */
export function attentionSubLayer(stream: tf.Tensor3D, context: BlockContext): tf.Tensor3D {
  const entry = entranceSpikes(stream, 'attention_entry', context);
  const qkv = neurons(synapses(entry, 'qkv', context), 'query', context);
  const out = attentionOutSpikes(context.attend(context.layer, qkv), context);
  return write(synapses(out, 'out', context), 'attention_write', context);
}

/** SFFN: SN(W2·SN(W1·x + b1) + b2), d → F → d; what it writes to the stream, (T, N, D). */
export function feedForwardSubLayer(stream: tf.Tensor3D, context: BlockContext): tf.Tensor3D {
  const entry = entranceSpikes(stream, 'feed_forward_entry', context);
  const hidden = neurons(synapses(entry, 'fc1', context), 'hidden', context);
  return write(synapses(hidden, 'fc2', context), 'feed_forward_write', context);
}

/** Entrance neurons of a sub-layer, (T, N, E): the stream made binary. */
export function entranceSpikes(stream: tf.Tensor3D, site: 'attention_entry' | 'feed_forward_entry', context: BlockContext): SpikeTensor<tf.Rank.R3> {
  const { config } = context;
  const { gain, bias } = gainAndBias(site, entranceWidth(config), context);
  return observed(lif({ x: stream, gain, bias, onOff: config.onOff, groups: sitesIn(site) }, config.neuron), site, context);
}

/** SN_AttnOut before the output projection (Algorithm 1), so that this matrix, too, sees only spikes. */
export function attentionOutSpikes(values: tf.Tensor3D, context: BlockContext): SpikeTensor<tf.Rank.R3> {
  const { config } = context;
  const { gain, bias } = gainAndBias('attention_out', config.hiddenSize, context);
  return observed(lif({ x: values, gain, bias, onOff: false, groups: sitesIn('attention_out') }, config.neuron), 'attention_out', context);
}

/** W·s + b with the layer's matrix `name`. */
export function synapses(spikes: SpikeTensor<tf.Rank.R3>, name: string, context: BlockContext): tf.Tensor3D {
  const { parameters, layer } = context;
  return spikeLinear(
    spikes,
    parameter<tf.Rank.R2>(parameters, layerName(layer, `${name}.weight`)),
    parameter<tf.Rank.R1>(parameters, layerName(layer, `${name}.bias`)),
  );
}

/** Plain neurons: gain 1, bias 0 (the synapses have learned ones already). */
export function neurons(current: tf.Tensor3D, site: SpikeSite, context: BlockContext): SpikeTensor<tf.Rank.R3> {
  return observed(plainLif({ x: current, groups: sitesIn(site) }, context.config.neuron), site, context);
}

function observed({ spikes, rates }: LifOutput, site: SpikeSite, { layer, observe }: BlockContext): SpikeTensor<tf.Rank.R3> {
  observe({ layer, site, spikes, rates });
  return spikes;
}

function gainAndBias(site: string, width: number, context: BlockContext): { gain: tf.Tensor1D; bias: tf.Tensor1D } {
  if (!context.config.learnedNeurons) return { gain: tf.ones([width]), bias: tf.zeros([width]) };
  return {
    gain: parameter<tf.Rank.R1>(context.parameters, layerName(context.layer, `${site}.gain`)),
    bias: parameter<tf.Rank.R1>(context.parameters, layerName(context.layer, `${site}.bias`)),
  };
}

function write(current: tf.Tensor3D, site: 'attention_write' | 'feed_forward_write', context: BlockContext): tf.Tensor3D {
  if (context.config.residualWrite === 'current') return current;
  return neurons(current, site, context);
}
