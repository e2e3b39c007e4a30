import * as tf from '@tensorflow/tfjs-core';

import { freeUnusedMemory } from '../backend/unused-memory.js';
import type { Random } from '../corpus/random.js';
import { attentionValues } from '../ops/attention-alignment.js';
import { meanOver } from '../ops/reduce.js';
import type { StoredSpikes } from '../ops/spike-linear.js';
import { storedLinear, storeSpikes } from '../ops/spike-linear.js';
import type { Teacher } from '../teacher/parameters.js';
import { layerAttention } from './attention.js';
import { startAttentionNeurons } from './attention-start.js';
import type { BlockContext } from './block.js';
import type { BlockStart } from './block-start.js';
import { setParameter } from './block-start.js';
import { attentionOutSpikes, entranceSpikes, neurons, synapses } from './block.js';
import { channelBias, channelStd, GAIN_STDS, siteBias } from './calibrate.js';
import type { StudentConfig } from './config.js';
import { embed } from './forward.js';
import type { ChannelGroups, Groups } from './groups.js';
import { computedGroups, joinedColumns, START_NUMBERS, stdOfGroups, storedChannels, storedGroups } from './groups.js';
import { fillEmbeddings, fillPlainLinears } from './initial-values.js';
import { linearStart } from './linear-start.js';
import { ignoreSpikes } from './observe.js';
import { layerName, parameter, parameterShapes } from './parameters.js';
import type { TeacherLayer } from './teacher-layers.js';
import { walkTeacher } from './teacher-layers.js';
import { groupWindows } from './windows.js';

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
  /** Numbers of the largest tensor that groups are made for; its default is part of what a start is. */ readonly atOnce?: number;
}

/** Standard deviation of a matrix's output current before its bias is set (experiments: .7). */
const CURRENT_STD = 0.7;
/** Without a teacher to fit, a sub-layer writes with half the stream's standard deviation. */
const WRITE_SHARE = 0.5;

/**
 * Initial parameters of a student, block by block, each calibrated on the spikes of the blocks before it:
 * entrance gain 1/std and bias to a target rate; q, k, v and fc1 fitted to the teacher's pre-activations and scaled;
 * attention gain and distance current to a target density; out and fc2 fitted to what the teacher writes to its stream.
 * Deviation: ours (the paper starts at random). Without learned neurons the linears keep a plain random start.
 *
 * The windows are worked on in groups, and between two sub-layers only the streams of student and teacher are kept, so that memory does not grow with
 * their number (`groups.ts`). Spikes are counted exactly, whatever the groups; sums of real values (standard deviations, regressions) are added in another
 * order with several groups than with one.
 * @returns tensors owned by the caller, named and shaped as `parameterShapes` says.
 */
export async function startStudent(options: StartOptions, onLayer: (done: number) => void = () => undefined): Promise<Map<string, tf.Tensor>> {
  const { config, ids, atOnce = START_NUMBERS } = options;
  const parameters = new Map<string, tf.Tensor>();
  fillEmbeddings(parameters, options);
  if (config.learnedNeurons) {
    const windows = groupWindows(config, ids, atOnce);
    const walk = options.init === 'random' ? null : await walkTeacher(options.teacher, windows);
    let stream = await storedChannels(windows.count, (group) =>
      tf.reshape(tf.mul(embed({ config, parameters }, windows.ids(group), 0), config.embeddingGain), [1, -1, config.hiddenSize]));
    for (let layer = 0; layer < config.layers; layer++) {
      const teacherLayer = await walk?.layer(layer) ?? NO_TEACHER;
      stream = await startBlock(stream, { ...options, parameters, layer, teacherLayer, windows, atOnce });
      onLayer(layer + 1);
    }
    [stream, walk].forEach((owner) => owner?.dispose());
    freeUnusedMemory();
  } else {
    fillPlainLinears(parameters, options);
  }
  return new Map(Array.from(parameterShapes(config).keys(), (name) => [name, parameters.get(name) as tf.Tensor]));
}

/** A random start does not look at the teacher's layers. */
const NO_TEACHER: TeacherLayer = { values: () => { throw new Error('a random start has no targets'); }, dispose: () => undefined };

/** Sets one block's parameters; disposes `stream` (T, n, D) and returns the stream after the block. */
async function startBlock(stream: ChannelGroups, start: BlockStart): Promise<ChannelGroups> {
  const entry = await calibrateEntrance(stream, 'attention_entry', start);
  const qkv = await startUnits(entry, 'qkv', start);
  await startAttentionNeurons({ entry: entry.stored, qkv }, start);
  const values = await storedGroups(start.windows.count, (group) => summedValues(qkv.at(group), { group, start }));
  [entry, qkv].forEach((owner) => owner.dispose());
  const out = await startAttentionOut(values, start);
  const attended = await startWrite({ stream, spikes: out, name: 'out', target: 'attended' }, start);
  [values, out, stream].forEach((owner) => owner.dispose());
  freeUnusedMemory();

  const feedForwardEntry = await calibrateEntrance(attended, 'feed_forward_entry', start);
  const hidden = await startUnits(feedForwardEntry, 'fc1', start);
  const next = await startWrite({ stream: attended, spikes: hidden, name: 'fc2', target: 'output' }, start);
  [feedForwardEntry, hidden, attended].forEach((owner) => owner.dispose());
  freeUnusedMemory();
  return next;
}

function contextOf(start: BlockStart): BlockContext {
  const attend = (): never => { throw new Error('the start runs attention by itself'); };
  return { parameters: start.parameters, config: start.config, layer: start.layer, attend, observe: ignoreSpikes };
}

function get<R extends tf.Rank>(start: BlockStart, name: string): tf.Tensor<R> {
  return parameter<R>(start.parameters, layerName(start.layer, name));
}

/** Spikes of a sub-layer's entrance. */
interface Entrance {
  /** (T, n, E) a group. */ readonly spikes: Groups;
  /** The same as products take them, of every group. */ readonly stored: readonly StoredSpikes[];
  dispose(): void;
}

/** Gain 1/std and bias to the entry rate; returns the entrance spikes. */
async function calibrateEntrance(stream: ChannelGroups, site: 'attention_entry' | 'feed_forward_entry', start: BlockStart): Promise<Entrance> {
  const { config, atOnce } = start;
  const single = (await channelStd(stream)).map((std) => 1 / std);
  const gain = config.onOff ? Float32Array.from([...single, ...single]) : single;
  const bias = await channelBias({ x: stream, gain, onOff: config.onOff, neuron: config.neuron }, start.calibration.entryRate, atOnce);
  setParameter(start, `${site}.gain`, { values: gain, shape: [gain.length] });
  setParameter(start, `${site}.bias`, { values: bias, shape: [bias.length] });
  const spikes = computedGroups<tf.Rank.R3>(stream.count, (group) => entranceSpikes(stream.at(group), site, contextOf(start)));
  const stored = Array.from({ length: stream.count }, (_, group) => storedGroup(spikes, group));
  return {
    spikes, stored,
    dispose: () => {
      spikes.dispose();
      tf.dispose(stored.map(({ values }) => values));
    },
  };
}

function storedGroup(spikes: Groups, group: number): StoredSpikes {
  let shape: StoredSpikes['shape'] = [0, 0, 0];
  const values = tf.tidy(() => {
    const stored = storeSpikes(spikes.at(group));
    shape = stored.shape;
    return stored.values;
  });
  return { shape, values };
}

/** Fits qkv or fc1, scales its current, sets its bias by rate; returns the spikes. */
async function startUnits(entry: Entrance, name: 'qkv' | 'fc1', start: BlockStart): Promise<Groups> {
  const { weight } = await linearStart(entry.spikes, { name, currentStd: CURRENT_STD }, start);
  const inputs = (entry.stored[0] as StoredSpikes).shape[2];
  const outputs = weight.length / inputs;
  setParameter(start, `${name}.weight`, { values: weight, shape: [inputs, outputs] });
  setParameter(start, `${name}.bias`, { values: new Float32Array(outputs), shape: [outputs] });
  const product = (group: number, matrix: tf.Tensor2D, bias: tf.Tensor1D): tf.Tensor3D => storedLinear(entry.stored[group] as StoredSpikes, matrix, bias);
  const whole = (group: number): tf.Tensor3D => product(group, get(start, `${name}.weight`), get(start, `${name}.bias`));
  const current = computedGroups(entry.stored.length, whole);
  const columns = (from: number, count: number): tf.Tensor3D => (count === outputs ? joinedColumns(current, current.at) : tf.tidy(() => {
    const [matrix, bias] = [tf.slice(get<tf.Rank.R2>(start, `${name}.weight`), [0, from], [-1, count]), tf.zeros<tf.Rank.R1>([count])];
    return joinedColumns(current, (group) => product(group, matrix, bias));
  }));
  const { config, calibration, atOnce } = start;
  const site = { x: { ...current, columns }, gain: new Float32Array(outputs).fill(1), onOff: false, neuron: config.neuron };
  const bias = await channelBias(site, calibration.unitRate, atOnce);
  current.dispose();
  setParameter(start, `${name}.bias`, { values: bias, shape: [outputs] });
  return computedGroups<tf.Rank.R3>(entry.stored.length, (group) => neurons(whole(group), name === 'qkv' ? 'query' : 'hidden', contextOf(start)));
}

/** What attention makes of a group's spikes (T, n, 3D): (T, n, D). */
function summedValues(spikes: tf.Tensor3D, { group, start }: { readonly group: number; readonly start: BlockStart }): tf.Tensor3D {
  const [timeSteps, rows, width] = spikes.shape;
  const qkv = tf.reshape<tf.Rank.R4>(spikes, [timeSteps, start.windows.batch(group), start.windows.length, width]);
  return tf.reshape(attentionValues(layerAttention(qkv, start.layer, start), start.config.neuron).values, [timeSteps, rows, width / 3]);
}

/** Gain of the whole site, one bias for the site; returns its spikes. */
async function startAttentionOut(values: Groups, start: BlockStart): Promise<Groups> {
  const { config } = start;
  const [std = 1] = await channelStd({ count: values.count, at: (group) => tf.tidy(() => tf.reshape<tf.Rank.R3>(values.at(group), [1, -1, 1])) });
  const gain = new Float32Array(config.hiddenSize).fill(1 / (GAIN_STDS * std));
  const bias = await siteBias({ x: values, gain, onOff: false, neuron: config.neuron }, start.calibration.unitRate);
  setParameter(start, 'attention_out.gain', { values: gain, shape: [gain.length] });
  setParameter(start, 'attention_out.bias', { values: bias, shape: [bias.length] });
  return computedGroups<tf.Rank.R3>(values.count, (group) => attentionOutSpikes(values.at(group), contextOf(start)));
}

interface WriteStart {
  readonly stream: Groups;
  readonly spikes: Groups;
  readonly name: 'out' | 'fc2';
  /** The teacher's stream after this sub-layer. */ readonly target: 'attended' | 'output';
}

/** Fits out or fc2 to what is missing from the stream; returns the stream after the write. */
async function startWrite({ stream, spikes, name, target }: WriteStart, start: BlockStart): Promise<ChannelGroups> {
  const { count } = stream;
  const missing = start.init === 'random' ? null : computedGroups<tf.Rank.R2>(count, (group) =>
    tf.sub(start.teacherLayer.values(group, [target])[0] as tf.Tensor2D, meanOver(stream.at(group), [0])));
  const currentStd = missing === null ? WRITE_SHARE * ((await stdOfGroups(stream, [0, 1, 2]))[0] ?? 1) : 0;
  const { weight, bias } = await linearStart(spikes, { name, currentStd, missing }, start);
  missing?.dispose();
  const width = start.config.hiddenSize;
  setParameter(start, `${name}.weight`, { values: weight, shape: [weight.length / width, width] });
  setParameter(start, `${name}.bias`, { values: bias, shape: [width] });
  return storedChannels(count, (group) => {
    const current = synapses(spikes.at(group), name, contextOf(start));
    const site = name === 'out' ? 'attention_write' : 'feed_forward_write';
    return tf.add<tf.Tensor3D>(stream.at(group), start.config.residualWrite === 'spike' ? neurons(current, site, contextOf(start)) : current);
  });
}
