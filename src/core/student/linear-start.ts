import * as tf from '@tensorflow/tfjs-core';

import { meanOfAll, meanOver, stdOver } from '../ops/reduce.js';
import type { SpikeTensor } from '../ops/lif.js';
import { teacherParameter } from '../teacher/parameters.js';
import type { RidgeFit } from './ridge.js';
import { ridgeRegression } from './ridge.js';
import type { BlockStart } from './start.js';

/** One matrix of a block to be given a first value. */
export interface LinearTarget {
  readonly name: 'qkv' | 'fc1' | 'out' | 'fc2';
  /** Standard deviation its current is scaled to, where it is scaled. */ readonly currentStd: number;
  /** (N, D): what the write should add; null for qkv and fc1, and for a random start. */ readonly missing?: tf.Tensor2D | null;
}

/**
 * First value of a matrix (in, out) and its bias. `ridge`: regression on the time-mean spikes, of the teacher's pre-activations
 * (qkv, fc1; then scaled per matrix to `currentStd`) or of what the stream lacks (out, fc2; not scaled); `copy`: the
 * teacher's matrix with the LayerNorm gain folded in, scaled to the same current; `random`: normal, scaled likewise.
 */
export async function linearStart(spikes: SpikeTensor<tf.Rank.R3>, target: LinearTarget, start: BlockStart): Promise<RidgeFit> {
  const isWrite = target.name === 'out' || target.name === 'fc2';
  const mean = tf.tidy(() => meanOver<tf.Rank.R2>(spikes, [0]));
  try {
    if (start.init === 'ridge' && isWrite) return await ridgeRegression(mean, target.missing as tf.Tensor2D, start.calibration.ridge);
    const parts: Float32Array[] = [];
    for (let part = 0; part < partCount(target.name); part++) {
      parts.push(await scaledTo(target, mean, await partWeight(mean, { name: target.name, part }, start)));
    }
    const weight = joinColumns(parts, mean.shape[1]);
    return { weight, bias: new Float32Array(weight.length / mean.shape[1]) };
  } finally {
    mean.dispose();
  }
}

function partCount(name: LinearTarget['name']): number {
  return name === 'qkv' ? 3 : 1;
}

/** Unscaled weight of the query, key or value part of qkv, or of a whole other matrix: (in, out). */
async function partWeight(mean: tf.Tensor2D, at: { name: LinearTarget['name']; part: number }, start: BlockStart): Promise<Float32Array> {
  const { teacherLayer: trace, config } = start;
  const inputs = mean.shape[1];
  const outputs = at.name === 'fc1' ? config.feedForwardSize : config.hiddenSize;
  if (start.init === 'random') return Float32Array.from({ length: inputs * outputs }, () => start.random.normal());
  if (start.init === 'copy') return copiedWeight(at, start);
  const targets = at.name === 'fc1' ? trace.hidden : ([trace.query, trace.key, trace.value][at.part] as tf.Tensor2D);
  return (await ridgeRegression(mean, targets, start.calibration.ridge)).weight;
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
async function scaledTo(target: LinearTarget, mean: tf.Tensor2D, weight: Float32Array): Promise<Float32Array> {
  const inputs = mean.shape[1];
  const std = tf.tidy(() => {
    const current = tf.matMul(mean, tf.tensor2d(weight, [inputs, weight.length / inputs]));
    const wanted = target.missing == null ? target.currentStd : meanOfAll(stdOver(target.missing, [0]));
    return tf.div(wanted, tf.maximum(meanOfAll(stdOver(current, [0])), 1e-6));
  });
  const [factor = 1] = await std.data();
  std.dispose();
  return weight.map((value) => value * factor);
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
