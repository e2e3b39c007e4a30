import * as tf from '@tensorflow/tfjs-core';

import type { LifNeuron } from './lif.js';
import { encodeRate } from './lif.js';
import { hasMappedAttention, mappedAttention } from './mapped-attention.js';
import { squaredError } from './reduce.js';
import type { AttentionStream } from './softmax-attention.js';
import { streamProbabilities } from './softmax-attention.js';
import { hasTiles, tiledAlignment, tiledAttention, tileShape } from './tiled-attention.js';
import type { AttentionInput } from './spiking-attention.js';
import { spikingAttention } from './spiking-attention.js';

/** A teacher layer's attention: its probabilities (B, H, L, L), or what they can be computed from, a tile at a time. */
export type TeacherAttention =
  | { readonly kind: 'maps'; readonly probabilities: tf.Tensor4D }
  | ({ readonly kind: 'stream' } & AttentionStream);

/** `raw`: the paper's; `row-normalised`: both maps made distributions over keys first. */
export type AlignmentForm = 'raw' | 'row-normalised';

/** What a layer's attention spikes are compared with, and how. */
export interface AlignmentTarget {
  readonly teacher: TeacherAttention;
  /** Teacher head of each student head. */ readonly headMap: readonly number[];
  /** Share of the rate term. */ readonly gamma: number;
  readonly form: AlignmentForm;
}

/** The tensors of a target, which a segment of a model has to be handed. */
export function targetTensors({ teacher }: AlignmentTarget): tf.Tensor[] {
  return teacher.kind === 'maps' ? [teacher.probabilities] : [teacher.query, teacher.key];
}

/** The same target made of these tensors. */
export function withTensors(target: AlignmentTarget, tensors: readonly tf.Tensor[]): AlignmentTarget {
  const [first, second] = tensors;
  return target.teacher.kind === 'maps'
    ? { ...target, teacher: { kind: 'maps', probabilities: first as tf.Tensor4D } }
    : { ...target, teacher: { ...target.teacher, query: first as tf.Tensor2D, key: second as tf.Tensor2D } };
}

/** Spiking attention whose map nobody asks for. */
export interface AttentionValues {
  /** (T, B, L, D): how many of the keys attended to carry a spike in this channel; integers 0…L. */ readonly values: tf.Tensor4D;
  /** (B, H, L): attention spikes of each query, over all keys and time steps; integers 0…T·(i + 1). */ readonly counts: tf.Tensor3D;
  /** (1): attention spikes per causal pair and time step, 0…1. */ readonly density: tf.Tensor1D;
}

/** `spikingAttention` without its map; where the backend has kernels for it, no map is made. Differentiable in qkv, gain and distanceBias. */
export function attentionValues(input: AttentionInput, neuron: LifNeuron): AttentionValues {
  return hasTiles(tileShape(input, neuron)) ? tiledAttention(input, neuron) : composedValues(input, neuron);
}

/** The reference of `attentionValues`, by way of the map. */
export function composedValues(input: AttentionInput, neuron: LifNeuron): AttentionValues {
  return tf.tidy(() => {
    const { values, counts, density } = spikingAttention(input, neuron);
    return { values, counts, density };
  });
}

/** What `alignedAttention` gives. */
export interface AlignedValues extends AttentionValues {
  /** SAA of this layer. */ readonly loss: tf.Scalar;
}

/**
 * Spiking attention and the loss that aligns its spikes with the teacher's attention (SAA, see `mapLoss`). A target that is a stream is compared
 * tile by tile where the backend has kernels for that, and neither map is made; one of maps, in the raw form, query by query, and no map of the student's is. Differentiable in qkv, gain and distanceBias; no gradient reaches the teacher.
 */
export function alignedAttention(input: AttentionInput, neuron: LifNeuron, target: AlignmentTarget): AlignedValues {
  const { teacher } = target;
  if (teacher.kind === 'stream' && hasTiles(tileShape(input, neuron))) return tiledAlignment(input, neuron, { ...target, teacher });
  if (target.form === 'raw' && hasMappedAttention()) {
    const probabilities = targetMaps(target);
    return mappedAttention(input, neuron, { target: probabilities, ...rawFactors(probabilities.shape, target.gamma) });
  }
  return composedAlignment(input, neuron, target);
}

/** The reference of `alignedAttention`, by way of both maps. */
export function composedAlignment(input: AttentionInput, neuron: LifNeuron, target: AlignmentTarget): AlignedValues {
  return tf.tidy(() => {
    const { meanMap, ...attention } = spikingAttention(input, neuron);
    return { ...attention, loss: mapLoss(meanMap, targetMaps(target), { ...target, neuron }) };
  });
}

/**
 * γ·RateMSE + (1 − γ)·MSE between attention spikes (mean over time) and probabilities, both (B, H, L, L). RateMSE compares with the rate of
 * the same neuron fed the probabilities as a constant current. `raw` averages over causal entries; `row-normalised` sums squared
 * differences over keys and averages over rows. Differentiable in the map.
 */
export function mapLoss(map: tf.Tensor4D, target: tf.Tensor4D, how: { readonly neuron: LifNeuron; readonly gamma: number; readonly form: AlignmentForm }): tf.Scalar {
  return how.form === 'raw' ? rawLoss(map, target, how) : rowNormalisedLoss(map, target, how);
}

type Comparison = Parameters<typeof mapLoss>[2];

function rawLoss(map: tf.Tensor4D, target: tf.Tensor4D, how: Comparison): tf.Scalar {
  const { rateFactor, factor } = rawFactors(map.shape, how.gamma);
  // Future entries are 0 in the map, in the probabilities and (threshold > 0) in their rate, so summing everything is exact.
  return tf.add(squaredError(map, encodeRate(target, how.neuron), rateFactor), squaredError(map, target, factor));
}

/** What a squared difference weighs: a share of the mean over causal entries. */
function rawFactors([batch, heads, length]: readonly [number, number, number, number], gamma: number): { readonly rateFactor: number; readonly factor: number } {
  const entries = (batch * heads * length * (length + 1)) / 2;
  return { rateFactor: gamma / entries, factor: (1 - gamma) / entries };
}

function rowNormalisedLoss(map: tf.Tensor4D, target: tf.Tensor4D, how: Comparison): tf.Scalar {
  const [batch, heads, length] = map.shape;
  // One spike in T steps is the smallest sum of a row that is not silent; a smaller floor would blow up the gradient of silent ones.
  const distribution = (x: tf.Tensor): tf.Tensor => tf.div(x, tf.maximum(tf.sum(x, 3, true), 1 / how.neuron.timeSteps));
  const rates = encodeRate(tf.div(target, tf.max(target, 3, true)), how.neuron);
  const student = distribution(map);
  const rate = tf.sum(tf.squaredDifference(student, distribution(rates)));
  const direct = tf.sum(tf.squaredDifference(student, target));
  return tf.div(tf.add(tf.mul(rate, how.gamma), tf.mul(direct, 1 - how.gamma)), batch * heads * length);
}

/** The probabilities of the heads that are compared with, (B, H, L, L). */
function targetMaps({ teacher, headMap }: AlignmentTarget): tf.Tensor4D {
  return selectHeads(teacher.kind === 'maps' ? teacher.probabilities : streamProbabilities(teacher), headMap);
}

function selectHeads(probabilities: tf.Tensor4D, headMap: readonly number[]): tf.Tensor4D {
  const isIdentity = headMap.length === probabilities.shape[1] && headMap.every((head, i) => head === i);
  return isIdentity ? probabilities : tf.gather(probabilities, tf.tensor1d([...headMap], 'int32'), 1);
}
