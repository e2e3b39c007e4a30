import * as tf from '@tensorflow/tfjs-core';

import { applyCustomOp, hasKernel, isRecording, output, runKernel } from './kernels.js';

/** Queries, keys and values of one layer, each (B·L, D), heads side by side. */
export interface SoftmaxInput {
  readonly query: tf.Tensor2D;
  readonly key: tf.Tensor2D;
  readonly value: tf.Tensor2D;
}

/** How the rows of a `SoftmaxInput` divide. */
export interface AttentionShape {
  /** B */ readonly batch: number;
  /** L */ readonly length: number;
  /** H */ readonly heads: number;
}

/** What the probabilities of one layer can be computed from: softmax over j ≤ i of query·key / √K. */
export interface AttentionStream extends AttentionShape {
  /** (B·L, D) */ readonly query: tf.Tensor2D;
  /** (B·L, D) */ readonly key: tf.Tensor2D;
}

/** Added to the score of a key that the query must not see. */
const FUTURE_SCORE = -1e9;

/**
 * Causal attention with its map. Differentiable. @param future of `futureScores`, which all layers can share.
 * @returns context (B·L, D) and probabilities (B, H, L, L), 0 for future keys.
 */
export function softmaxAttention({ query, key, value }: SoftmaxInput, shape: AttentionShape, future: tf.Tensor2D | null): { context: tf.Tensor2D; probabilities: tf.Tensor4D } {
  if (hasKernel('BispikSoftmaxAttention') && !isRecording()) {
    const outputs = runKernel('BispikSoftmaxAttention', { query, key, value }, { ...shape, divisor: divisorOf(query, shape) });
    return { context: output(outputs, 0), probabilities: output(outputs, 1) };
  }
  const probabilities = probabilitiesOf({ query, key, ...shape }, future);
  const context = tf.transpose(tf.matMul(probabilities, splitHeads(value, shape)), [0, 2, 1, 3]);
  return { context: tf.reshape(context, value.shape), probabilities };
}

/** The context of causal attention, (B·L, D), without its map where the backend has a kernel for that. Not differentiable. */
export function streamedAttention(input: SoftmaxInput, shape: AttentionShape): tf.Tensor2D {
  const { query, key, value } = input;
  if (hasKernel('BispikStreamedAttention')) return output(runKernel('BispikStreamedAttention', { query, key, value }, { ...shape }), 0);
  return softmaxAttention(input, shape, futureScores(shape.length)).context;
}

/** The probabilities (B, H, L, L) of a layer, all at once; 0 for future keys. */
export function streamProbabilities(stream: AttentionStream): tf.Tensor4D {
  return probabilitiesOf(stream, futureScores(stream.length));
}

function probabilitiesOf({ query, key, ...shape }: AttentionStream, future: tf.Tensor2D | null): tf.Tensor4D {
  const overlaps = tf.matMul<tf.Tensor4D>(splitHeads(query, shape), splitHeads(key, shape), false, true);
  const divisor = divisorOf(query, shape);
  return future === null ? causalSoftmax(overlaps, divisor) : tf.softmax(tf.add(tf.mul(overlaps, 1 / divisor), future)) as tf.Tensor4D;
}

/** √K */
function divisorOf(query: tf.Tensor2D, { heads }: AttentionShape): number {
  return Math.sqrt(query.shape[1] / heads);
}

/** softmax over j ≤ i of overlaps/divisor, 0 for future keys, which are never looked at; differentiable. @param overlaps (B, H, L, L). */
function causalSoftmax(overlaps: tf.Tensor4D, divisor: number): tf.Tensor4D {
  return applyCustomOp({
    inputs: [overlaps],
    forward: (save) => {
      const probabilities = output(runKernel('BispikCausalSoftmax', { x: overlaps }, { divisor }), 0);
      save([probabilities]);
      return probabilities;
    },
    backward: (dy, saved) => {
      const weighted = tf.mul(dy, output(saved, 0));
      return [tf.mul(tf.sub(weighted, tf.mul(output(saved, 0), tf.sum(weighted, 3, true))), 1 / divisor)];
    },
  }) as tf.Tensor4D;
}

/** (B·L, D) → (B, H, L, K). */
function splitHeads(x: tf.Tensor2D, { batch, length, heads }: AttentionShape): tf.Tensor4D {
  return tf.transpose(tf.reshape(x, [batch, length, heads, x.shape[1] / heads]), [0, 2, 1, 3]);
}

/** (L, L): 0 up to the query's own position, then what sets a future key's probability to 0; null where the backend has a softmax that sees no future keys. */
export function futureScores(length: number): tf.Tensor2D | null {
  if (hasKernel('BispikCausalSoftmax')) return null;
  const scores = new Float32Array(length * length);
  for (let query = 0; query < length; query++) scores.fill(FUTURE_SCORE, query * length + query + 1, (query + 1) * length);
  return tf.tensor2d(scores, [length, length]);
}
