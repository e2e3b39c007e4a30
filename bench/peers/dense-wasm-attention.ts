import * as tf from '@tensorflow/tfjs-core';

import type { StudentConfig } from '../../src/core/student/config.js';
import { carry } from '../support/plain-neurons.js';
import type { PlainStudent } from '../support/plain-student.js';
import { valuesOf } from '../support/plain-student.js';

/** Keys and values of past tokens as dense tensors, one matrix per time step and head. */
export interface KeyValueCache {
  /** Tokens. */ readonly length: number;
  /** (T·H, K, length) */ readonly keys: tf.Tensor3D;
  /** (T·H, length, K) */ readonly values: tf.Tensor3D;
}

interface Heads { readonly T: number; readonly H: number; readonly K: number; readonly N: number }

function headsOf({ hiddenSize, heads, neuron: { timeSteps } }: StudentConfig, qkv: Float32Array): Heads {
  return { T: timeSteps, H: heads, K: hiddenSize / heads, N: qkv.length / (3 * hiddenSize) / timeSteps };
}

/** One third of (N·T, 3D) spikes as (T·H, N, K), or as (T·H, K, N). */
function split(qkv: Float32Array, { T, H, K, N }: Heads, { third, isTurned }: { third: number; isTurned: boolean }): Float32Array {
  const parts = new Float32Array(T * H * N * K);
  for (let n = 0; n < N; n++) {
    for (let t = 0; t < T; t++) {
      const from = (n * T + t) * 3 * H * K + third * H * K;
      for (let h = 0; h < H; h++) {
        const to = (t * H + h) * N * K;
        for (let c = 0; c < K; c++) parts[to + (isTurned ? c * N + n : n * K + c)] = qkv[from + h * K + c] as number;
      }
    }
  }
  return parts;
}

/** Keys and values of a prompt from its query, key and value spikes (N·T, 3D). */
export function cacheSpikes(config: StudentConfig, qkv: Float32Array): KeyValueCache {
  const heads = headsOf(config, qkv);
  const { T, H, K, N } = heads;
  return {
    length: N,
    keys: tf.tensor3d(split(qkv, heads, { third: 1, isTurned: true }), [T * H, K, N]),
    values: tf.tensor3d(split(qkv, heads, { third: 2, isTurned: false }), [T * H, N, K]),
  };
}

interface AttentionNeurons { readonly student: PlainStudent; readonly gain: Float32Array; readonly bias: Float32Array }

function neuronsOf(student: PlainStudent, layer: number): AttentionNeurons {
  return { student, gain: valuesOf(student, `layers.${layer}.attention.gain`), bias: valuesOf(student, `layers.${layer}.attention.distance_bias`) };
}

/** Attention among new tokens only, (N·T, 3D) → (N·T, D): two dense products per time step and head, masked by not firing ahead. */
export function attendTogether(student: PlainStudent, layer: number, qkv: Float32Array): Float32Array {
  const heads = headsOf(student.config, qkv);
  const { T, H, K, N } = heads;
  const [queries, keys, values] = [0, 1, 2].map((third) => split(qkv, heads, { third, isTurned: third === 1 })) as [Float32Array, Float32Array, Float32Array];
  const neurons = neuronsOf(student, layer);
  const sums = new Float32Array(N * T * H * K);
  for (let h = 0; h < H; h++) {
    const membrane = new Float32Array(N * N);
    for (let t = 0; t < T; t++) {
      const from = (t * H + h) * N * K;
      const part = (all: Float32Array, shape: [number, number]): tf.Tensor2D => tf.tensor2d(all.subarray(from, from + N * K), shape);
      const counts = multiply(part(queries, [N, K]), part(keys, [K, N]));
      fireCausal(counts, { neurons, head: h, membrane, isFirst: t === 0 });
      scatter(multiply(tf.tensor2d(counts, [N, N]), part(values, [N, K])), sums, { heads, t, h });
    }
  }
  return sums;
}

/** a·b; frees both. */
function multiply(a: tf.Tensor2D, b: tf.Tensor2D): Float32Array {
  const result = tf.matMul<tf.Tensor2D>(a, b);
  const values = result.dataSync() as Float32Array;
  tf.dispose([a, b, result]);
  return values;
}

/** Turns overlaps (N, N) of one step and head into attention spikes in place; pairs ahead never fire. */
function fireCausal(counts: Float32Array, of: { neurons: AttentionNeurons; head: number; membrane: Float32Array; isFirst: boolean }): void {
  const { neurons: { student, gain, bias }, head, membrane } = of;
  const { neuron, contextLength } = student.config;
  const N = Math.sqrt(counts.length);
  for (let i = 0; i < N; i++) {
    for (let j = 0; j < N; j++) {
      const at = i * N + j;
      if (j > i) {
        counts[at] = 0;
        continue;
      }
      const u = (gain[head] as number) * (counts[at] as number) + (bias[head * contextLength + i - j] as number) + (of.isFirst ? 0 : (membrane[at] as number));
      const fired = u >= neuron.threshold;
      counts[at] = fired ? 1 : 0;
      membrane[at] = carry(u, fired, neuron);
    }
  }
}

/** Puts the sums (N, K) of one step and head into (N·T, D). */
function scatter(part: Float32Array, sums: Float32Array, { heads: { T, H, K, N }, t, h }: { heads: Heads; t: number; h: number }): void {
  for (let n = 0; n < N; n++) sums.set(part.subarray(n * K, (n + 1) * K), (n * T + t) * H * K + h * K);
}

/** Attention of one new token over the cached ones and itself, (T, 3D) → (T, D). */
export function attendCached(student: PlainStudent, of: { layer: number; qkv: Float32Array; cache: KeyValueCache }): Float32Array {
  const { T, H, K } = headsOf(student.config, of.qkv);
  const { cache, qkv } = of;
  const queries = new Float32Array(T * H * K);
  for (let t = 0; t < T; t++) queries.set(qkv.subarray(t * 3 * H * K, t * 3 * H * K + H * K), t * H * K);
  const counts = batched(tf.tensor3d(queries, [T * H, 1, K]), cache.keys);
  const own = new Float32Array(T * H);
  for (let part = 0; part < T * H; part++) own[part] = overlap(qkv, { t: Math.floor(part / H), h: part % H, H, K });
  const neurons = neuronsOf(student, of.layer);
  fireRow({ counts, keys: cache.length, nearest: 1 }, neurons);
  fireRow({ counts: own, keys: 1, nearest: 0 }, neurons);
  const sums = batched(tf.tensor3d(counts, [T * H, 1, cache.length]), cache.values);
  for (let part = 0; part < T * H; part++) {
    if (own[part] === 0) continue;
    const value = Math.floor(part / H) * 3 * H * K + 2 * H * K + (part % H) * K;
    for (let c = 0; c < K; c++) sums[part * K + c] = (sums[part * K + c] as number) + (qkv[value + c] as number);
  }
  return sums;
}

/** a·b for every time step and head; frees a. */
function batched(a: tf.Tensor3D, b: tf.Tensor3D): Float32Array {
  const result = tf.matMul(a, b);
  const values = result.dataSync() as Float32Array;
  tf.dispose([a, result]);
  return values;
}

/** Overlap of a token's query with its own key. */
function overlap(qkv: Float32Array, { t, h, H, K }: { t: number; h: number; H: number; K: number }): number {
  const query = t * 3 * H * K + h * K;
  let count = 0;
  for (let c = 0; c < K; c++) count += (qkv[query + c] as number) * (qkv[query + H * K + c] as number);
  return count;
}

/** Turns the overlaps of one token with some keys, (T·H, keys), into attention spikes in place; the last key is `nearest` tokens back. */
function fireRow(row: { counts: Float32Array; keys: number; nearest: number }, { student, gain, bias }: AttentionNeurons): void {
  const { neuron, contextLength, heads: H } = student.config;
  const { counts, keys } = row;
  for (let h = 0; h < H; h++) {
    const farthest = h * contextLength + row.nearest + keys - 1;
    for (let j = 0; j < keys; j++) {
      let carried = 0;
      for (let t = 0; t < neuron.timeSteps; t++) {
        const at = (t * H + h) * keys + j;
        const u = (gain[h] as number) * (counts[at] as number) + (bias[farthest - j] as number) + carried;
        const fired = u >= neuron.threshold;
        counts[at] = fired ? 1 : 0;
        carried = carry(u, fired, neuron);
      }
    }
  }
}
