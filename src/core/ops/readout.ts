import * as tf from '@tensorflow/tfjs-core';

import { crossEntropy } from './logit-losses.js';

/** What a model's head reads, and the head: the logits of M tokens are states·headᵀ, which nobody has to hold all at once. */
export interface Readout {
  /** (M, D), normalised */ readonly states: tf.Tensor2D;
  /** (V, D) */ readonly head: tf.Tensor2D;
}

/** A run of tokens whose logits exist at the same time. */
export interface RowChunk {
  readonly start: number;
  readonly count: number;
}

/**
 * Most bytes of logits of one model at a time: few enough to be nothing beside the weights of a model with a large vocabulary, enough
 * rows (333 of 50,272 logits) for a matrix product at full speed.
 */
export const HEAD_CHUNK_BYTES = 64 * 2 ** 20;

/** All logits (M, V), differentiable. */
export function readoutLogits({ states, head }: Readout): tf.Tensor2D {
  return tf.matMul(states, head, false, true);
}

/** Runs of rows, as equal as can be, whose float32 logits (count, V) take at most `chunkBytes`; one row at least. */
export function chunkRows({ rows, vocabulary, chunkBytes }: { readonly rows: number; readonly vocabulary: number; readonly chunkBytes: number }): RowChunk[] {
  const most = Math.max(1, Math.floor(chunkBytes / (Float32Array.BYTES_PER_ELEMENT * vocabulary)));
  const size = Math.ceil(rows / Math.ceil(rows / most));
  return Array.from({ length: Math.ceil(rows / size) }, (_, i) => ({ start: i * size, count: Math.min(size, rows - i * size) }));
}

/** The rows of a chunk, x itself where they are all. */
export function sliceRows<X extends tf.Tensor>(x: X, { start, count }: RowChunk): X {
  if (count === x.shape[0]) return x;
  return tf.slice(x, [start, ...x.shape.slice(1).map(() => 0)], [count, ...x.shape.slice(1)]) as X;
}

/** Next-token cross-entropy of every row (M), nats, chunk by chunk and without a gradient. @param labels (M) int32; −1 gives 0. */
export function readoutNll({ states, head }: Readout, labels: tf.Tensor1D, chunkBytes: number): tf.Tensor1D {
  const chunks = chunkRows({ rows: states.shape[0], vocabulary: head.shape[0], chunkBytes });
  const losses = chunks.map((chunk) => tf.tidy(() => crossEntropy(readoutLogits({ states: sliceRows(states, chunk), head }), sliceRows(labels, chunk)).loss));
  return losses.length === 1 ? losses[0] as tf.Tensor1D : tf.concat(losses);
}
