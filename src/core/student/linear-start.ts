import * as tf from '@tensorflow/tfjs-core';

import { meanOfAll, meanOver } from '../ops/reduce.js';
import type { SpikeTensor } from '../ops/lif.js';
import { teacherParameter } from '../teacher/parameters.js';
import type { BlockStart } from './block-start.js';
import type { Groups } from './groups.js';
import { computedGroups, stdOfGroups } from './groups.js';
import type { RidgeFit } from './ridge.js';
import { ridgeRegression } from './ridge.js';

/** One matrix of a block to be given a first value. */
export interface LinearTarget {
  readonly name: 'qkv' | 'fc1' | 'out' | 'fc2';
  /** Standard deviation its current is scaled to, where it is scaled. */ readonly currentStd: number;
  /** (n, D) a group: what the write should add; null for qkv and fc1, and for a random start. */ readonly missing?: Groups<tf.Rank.R2> | null;
}

/** Spikes (T, n, C) of a site, a group at a time. */
type SpikeGroups = Groups & { at(group: number): SpikeTensor<tf.Rank.R3> };

/**
 * First value of a matrix (in, out) and its bias. `ridge`: regression on the time-mean spikes, of the teacher's pre-activations
 * (qkv, fc1; then scaled per matrix to `currentStd`) or of what the stream lacks (out, fc2; not scaled); `copy`: the
 * teacher's matrix with the LayerNorm gain folded in, scaled to the same current; `random`: normal, scaled likewise.
 */
export async function linearStart(spikes: SpikeGroups, target: LinearTarget, start: BlockStart): Promise<RidgeFit> {
  const isWrite = target.name === 'out' || target.name === 'fc2';
  const mean = computedGroups<tf.Rank.R2>(spikes.count, (group) => meanOver(spikes.at(group), [0]));
  try {
    if (start.init === 'ridge' && isWrite) return await ridgeRegression({ x: mean, y: target.missing as Groups<tf.Rank.R2> }, start.calibration.ridge);
    const inputs = tf.tidy(() => mean.at(0).shape[1]);
    const parts: Float32Array[] = [];
    for (const part of await unscaledParts(mean, { name: target.name, inputs }, start)) parts.push(await scaledTo(target, mean, part));
    const weight = joinColumns(parts, inputs);
    return { weight, bias: new Float32Array(weight.length / inputs) };
  } finally {
    mean.dispose();
  }
}

interface MatrixPlace {
  readonly name: LinearTarget['name'];
  readonly inputs: number;
}

/** Weights before scaling of query, key and value, or of a whole other matrix: each (in, out). */
async function unscaledParts(mean: Groups<tf.Rank.R2>, { name, inputs }: MatrixPlace, start: BlockStart): Promise<Float32Array[]> {
  const { config } = start;
  const count = name === 'qkv' ? 3 : 1;
  const outputs = name === 'fc1' ? config.feedForwardSize : config.hiddenSize;
  const each = <X>(make: (part: number) => X): X[] => Array.from({ length: count }, (_, part) => make(part));
  if (start.init === 'random') return each(() => Float32Array.from({ length: inputs * outputs }, () => start.random.normal()));
  if (start.init === 'copy') return Promise.all(each((part) => copiedWeight({ name, part }, start)));
  const names = name === 'fc1' ? ['hidden'] as const : ['query', 'key', 'value'] as const;
  const y = computedGroups<tf.Rank.R2>(mean.count, (group) => tf.concat(start.teacherLayer.values(group, names), 1));
  const { weight } = await ridgeRegression({ x: mean, y }, start.calibration.ridge);
  y.dispose();
  return splitColumns(weight, { inputs, parts: count });
}

/** The teacher's matrix; behind an entrance its LayerNorm gain is folded in and the off half gets the opposite sign. */
async function copiedWeight(at: { name: LinearTarget['name']; part: number }, start: BlockStart): Promise<Float32Array> {
  const { teacher, config, layer } = start;
  const source = { qkv: ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'][at.part] as string, out: 'self_attn.out_proj', fc1: 'fc1', fc2: 'fc2' }[at.name];
  const gain = { qkv: 'self_attn_layer_norm.weight', fc1: 'final_layer_norm.weight', out: null, fc2: null }[at.name];
  const tensor = tf.tidy(() => {
    const weight = teacherParameter<tf.Rank.R2>(teacher, `layers.${layer}.${source}.weight`);
    if (gain === null) return tf.clone(weight);
    const folded = teacher.config.hasNormAffine && teacher.config.normPlacement === 'pre'
      ? tf.mul(weight, tf.expandDims(teacherParameter(teacher, `layers.${layer}.${gain}`), 1))
      : weight;
    return config.onOff ? tf.concat([folded, tf.neg(folded)], 0) : tf.clone(folded);
  });
  const values = Float32Array.from(await tensor.data());
  tensor.dispose();
  return values;
}

/** Scales a weight so that its current over the calibration tokens has the wanted mean channel standard deviation. */
async function scaledTo(target: LinearTarget, mean: Groups<tf.Rank.R2>, weight: Float32Array): Promise<Float32Array> {
  const inputs = tf.tidy(() => mean.at(0).shape[1]);
  const matrix = tf.tensor2d(weight, [inputs, weight.length / inputs]);
  const found = await meanStd({ count: mean.count, at: (group) => tf.tidy(() => tf.matMul<tf.Tensor2D>(mean.at(group), matrix)) });
  matrix.dispose();
  const wanted = target.missing == null ? target.currentStd : await meanStd(target.missing);
  const factor = Math.fround(Math.fround(wanted) / Math.max(found, Math.fround(1e-6)));
  return weight.map((value) => value * factor);
}

/** Mean over columns of their standard deviations over all rows. */
async function meanStd(x: Pick<Groups<tf.Rank.R2>, 'count' | 'at'>): Promise<number> {
  const std = await stdOfGroups(x, [0]);
  const mean = tf.tidy(() => meanOfAll(tf.tensor1d(std)));
  const [value = 0] = await mean.data();
  mean.dispose();
  return value;
}

/** (in, Σ out_p) of equally wide parts, apart: each (in, out_p). */
function splitColumns(joined: Float32Array, { inputs, parts }: { readonly inputs: number; readonly parts: number }): Float32Array[] {
  const total = joined.length / inputs;
  const width = total / parts;
  return Array.from({ length: parts }, (_, part) => {
    const own = new Float32Array(inputs * width);
    for (let row = 0; row < inputs; row++) own.set(joined.subarray(row * total + part * width, row * total + (part + 1) * width), row * width);
    return own;
  });
}

/** Matrices (in, out_p) side by side: (in, Σ out_p). */
function joinColumns(parts: readonly Float32Array[], inputs: number): Float32Array {
  const widths = parts.map((part) => part.length / inputs);
  const total = widths.reduce((a, b) => a + b, 0);
  const joined = new Float32Array(inputs * total);
  let offset = 0;
  parts.forEach((part, p) => {
    const width = widths[p] as number;
    for (let row = 0; row < inputs; row++) joined.set(part.subarray(row * width, (row + 1) * width), row * total + offset);
    offset += width;
  });
  return joined;
}
