import * as tf from '@tensorflow/tfjs-core';

import { attentionValues } from '../ops/attention-alignment.js';
import { meanOver, stdOver } from '../ops/reduce.js';
import type { Random } from '../corpus/random.js';
import type { SpikeTensor } from '../ops/lif.js';
import { traceTeacherLayers } from '../teacher/forward.js';
import type { TeacherLayerTrace } from '../teacher/forward.js';
import type { Teacher } from '../teacher/parameters.js';
import { layerAttention } from './attention.js';
import type { BlockContext } from './block.js';
import { attentionOutSpikes, entranceSpikes, neurons, synapses } from './block.js';
import { attentionForDensity, biasForRate, channelStd, countStd } from './calibrate.js';
import type { StudentConfig } from './config.js';
import { embed } from './forward.js';
import { fillEmbeddings, fillPlainLinears } from './initial-values.js';
import { linearStart } from './linear-start.js';
import { ignoreSpikes } from './observe.js';
import { layerName, parameterShapes } from './parameters.js';

/** Firing rates the start aims at; 0–1. */
export interface Calibration {
  /** Penalty of the ridge regression, as a share of the mean diagonal. */ readonly ridge: number;
  /** Entrance neurons. */ readonly entryRate: number;
  /** Query, key, value, attention output and hidden neurons. */ readonly unitRate: number;
  /** Share of causal pairs that fire. */ readonly attentionDensity: number;
}

/** How a student begins. */
export interface StartOptions {
  readonly config: StudentConfig;
  /** `ridge`: fitted to the teacher through the student's own spikes; `copy`: the teacher's matrices; `random`. */
  readonly init: 'ridge' | 'copy' | 'random';
  readonly embeddings: 'teacher' | 'random';
  readonly teacher: Teacher;
  /** (B, L) int32 calibration tokens. */ readonly ids: tf.Tensor2D;
  readonly calibration: Calibration;
  readonly random: Random;
}

/** Standard deviation of a matrix's output current before its bias is set (experiments: .7). */
const CURRENT_STD = 0.7;
/** Attention and attention-output gains: 1/(1.5·std), so that typical inputs stay below the threshold. */
const GAIN_STDS = 1.5;
/** Without a teacher to fit, a sub-layer writes with half the stream's standard deviation. */
const WRITE_SHARE = 0.5;

/**
 * Initial parameters of a student, block by block, each calibrated on the spikes of the blocks before it:
 * entrance gain 1/std and bias to a target rate; q, k, v and fc1 fitted to the teacher's pre-activations and scaled;
 * attention gain and distance current to a target density; out and fc2 fitted to what the teacher writes to its stream.
 * Deviation: ours (the paper starts at random). Without learned neurons the linears keep a plain random start.
 * @returns tensors owned by the caller, named and shaped as `parameterShapes` says.
 */
export async function startStudent(options: StartOptions, onLayer: (done: number) => void = () => undefined): Promise<Map<string, tf.Tensor>> {
  const { config } = options;
  const parameters = new Map<string, tf.Tensor>();
  fillEmbeddings(parameters, options);
  if (config.learnedNeurons) {
    const layers = tf.tidy(() => traceTeacherLayers(options.teacher, options.ids).map((trace) => ({ ...trace })));
    let stream = tf.tidy(() => tf.reshape<tf.Rank.R3>(
      tf.mul(embed({ config, parameters }, options.ids, 0), config.embeddingGain), [1, options.ids.size, config.hiddenSize]));
    for (let layer = 0; layer < config.layers; layer++) {
      const teacherLayer = layers[Math.min(layer, layers.length - 1)] as TeacherLayerTrace;
      stream = await startBlock(stream, { ...options, parameters, layer, teacherLayer });
      onLayer(layer + 1);
    }
    tf.dispose([stream, layers as unknown as tf.TensorContainer]);
  } else {
    fillPlainLinears(parameters, options);
  }
  return new Map(Array.from(parameterShapes(config).keys(), (name) => [name, parameters.get(name) as tf.Tensor]));
}

/** What the start of one block works on. */
export interface BlockStart extends StartOptions {
  readonly parameters: Map<string, tf.Tensor>;
  readonly layer: number;
  readonly teacherLayer: TeacherLayerTrace;
}

/** Sets one block's parameters; disposes `stream` and returns the stream after the block, (T, N, D). */
async function startBlock(stream: tf.Tensor3D, start: BlockStart): Promise<tf.Tensor3D> {
  const entry = await calibrateEntrance(stream, 'attention_entry', start);
  const qkv = await startUnits(entry, 'qkv', start);
  const values = await startAttention(qkv, start);
  const out = await startAttentionOut(values, start);
  const attended = await startWrite({ stream, spikes: out, name: 'out', target: start.teacherLayer.attended }, start);
  tf.dispose([entry, qkv, values, out, stream]);

  const feedForwardEntry = await calibrateEntrance(attended, 'feed_forward_entry', start);
  const hidden = await startUnits(feedForwardEntry, 'fc1', start);
  const next = await startWrite({ stream: attended, spikes: hidden, name: 'fc2', target: start.teacherLayer.output }, start);
  tf.dispose([feedForwardEntry, hidden, attended]);
  return next;
}

function contextOf(start: BlockStart): BlockContext {
  const attend = (): never => { throw new Error('the start runs attention by itself'); };
  return { parameters: start.parameters, config: start.config, layer: start.layer, attend, observe: ignoreSpikes };
}

function set(start: BlockStart, name: string, value: { values: Float32Array; shape: readonly number[] }): void {
  start.parameters.set(layerName(start.layer, name), tf.tensor(value.values, [...value.shape]));
}

/** Gain 1/std and bias to the entry rate; returns the entrance spikes. */
async function calibrateEntrance(stream: tf.Tensor3D, site: 'attention_entry' | 'feed_forward_entry', start: BlockStart): Promise<SpikeTensor<tf.Rank.R3>> {
  const { config } = start;
  const single = (await channelStd(stream)).map((std) => 1 / std);
  const gain = config.onOff ? Float32Array.from([...single, ...single]) : single;
  const bias = await biasForRate({ x: stream, gain, onOff: config.onOff, neuron: config.neuron }, start.calibration.entryRate, 'channel');
  set(start, `${site}.gain`, { values: gain, shape: [gain.length] });
  set(start, `${site}.bias`, { values: bias, shape: [bias.length] });
  return tf.tidy(() => entranceSpikes(stream, site, contextOf(start)));
}

/** Fits qkv or fc1, scales its current, sets its bias by rate; returns the spikes. */
async function startUnits(entry: SpikeTensor<tf.Rank.R3>, name: 'qkv' | 'fc1', start: BlockStart): Promise<SpikeTensor<tf.Rank.R3>> {
  const { weight } = await linearStart(entry, { name, currentStd: CURRENT_STD }, start);
  const [inputs, outputs] = [entry.shape[2], weight.length / entry.shape[2]];
  set(start, `${name}.weight`, { values: weight, shape: [inputs, outputs] });
  set(start, `${name}.bias`, { values: new Float32Array(outputs), shape: [outputs] });
  const current = tf.tidy(() => synapses(entry, name, contextOf(start)));
  const gain = new Float32Array(outputs).fill(1);
  const bias = await biasForRate({ x: current, gain, onOff: false, neuron: start.config.neuron }, start.calibration.unitRate, 'channel');
  current.dispose();
  start.parameters.get(layerName(start.layer, `${name}.bias`))?.dispose();
  set(start, `${name}.bias`, { values: bias, shape: [outputs] });
  return tf.tidy(() => neurons(synapses(entry, name, contextOf(start)), name === 'qkv' ? 'query' : 'hidden', contextOf(start)));
}

/** Attention gain and distance current; returns the summed values (T, N, D). */
async function startAttention(spikes: SpikeTensor<tf.Rank.R3>, start: BlockStart): Promise<tf.Tensor3D> {
  const { config, ids, calibration } = start;
  const [timeSteps, rows, width] = spikes.shape;
  const qkv = tf.reshape<tf.Rank.R4>(spikes, [timeSteps, ids.shape[0], ids.shape[1], width]);
  const site = { qkv, heads: config.heads, neuron: config.neuron };
  if (config.relativeBias) {
    const gain = (await countStd(site)).map((std) => 1 / (GAIN_STDS * std));
    const bias = await attentionForDensity(site, calibration.attentionDensity, { find: 'bias', gain });
    set(start, 'attention.gain', { values: gain, shape: [config.heads] });
    const perDistance = Float32Array.from({ length: config.heads * config.contextLength }, (_, i) => bias[Math.floor(i / config.contextLength)] as number);
    set(start, 'attention.distance_bias', { values: perDistance, shape: [config.heads, config.contextLength] });
  } else {
    const gain = await attentionForDensity(site, calibration.attentionDensity, { find: 'gain' });
    set(start, 'attention.gain', { values: gain, shape: [config.heads] });
  }
  const values = tf.tidy(() => tf.reshape<tf.Rank.R3>(attentionValues(layerAttention(qkv, start.layer, start), start.config.neuron).values, [timeSteps, rows, width / 3]));
  qkv.dispose();
  return values;
}

/** Gain of the whole site, one bias for the site; returns its spikes. */
async function startAttentionOut(values: tf.Tensor3D, start: BlockStart): Promise<SpikeTensor<tf.Rank.R3>> {
  const { config } = start;
  const flat = tf.reshape<tf.Rank.R3>(values, [1, values.size, 1]);
  const [std = 1] = await channelStd(flat);
  flat.dispose();
  const gain = new Float32Array(config.hiddenSize).fill(1 / (GAIN_STDS * std));
  const bias = await biasForRate({ x: values, gain, onOff: false, neuron: config.neuron }, start.calibration.unitRate, 'site');
  set(start, 'attention_out.gain', { values: gain, shape: [gain.length] });
  set(start, 'attention_out.bias', { values: bias, shape: [bias.length] });
  return tf.tidy(() => attentionOutSpikes(values, contextOf(start)));
}

interface WriteStart {
  readonly stream: tf.Tensor3D;
  readonly spikes: SpikeTensor<tf.Rank.R3>;
  readonly name: 'out' | 'fc2';
  /** (N, D): the teacher's stream after this sub-layer. */ readonly target: tf.Tensor2D;
}

/** Fits out or fc2 to what is missing from the stream; returns the stream after the write. */
async function startWrite(write: WriteStart, start: BlockStart): Promise<tf.Tensor3D> {
  const missing = start.init === 'random' ? null : tf.tidy(() => tf.sub<tf.Tensor2D>(write.target, meanOver(write.stream, [0])));
  const streamStd = tf.tidy(() => stdOver(write.stream, [0, 1, 2]));
  const currentStd = WRITE_SHARE * ((await streamStd.data())[0] ?? 1);
  const { weight, bias } = await linearStart(write.spikes, { name: write.name, currentStd, missing }, start);
  const width = start.config.hiddenSize;
  set(start, `${write.name}.weight`, { values: weight, shape: [weight.length / width, width] });
  set(start, `${write.name}.bias`, { values: bias, shape: [width] });
  tf.dispose([streamStd, ...(missing === null ? [] : [missing])]);
  return tf.tidy(() => {
    const current = synapses(write.spikes, write.name, contextOf(start));
    const site = write.name === 'out' ? 'attention_write' : 'feed_forward_write';
    const written = start.config.residualWrite === 'spike' ? neurons(current, site, contextOf(start)) : current;
    return tf.add<tf.Tensor3D>(write.stream, written);
  });
}
