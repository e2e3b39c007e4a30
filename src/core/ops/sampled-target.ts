import * as tf from '@tensorflow/tfjs-core';

import type { RowLosses } from './logit-losses.js';
import { crossEntropy } from './logit-losses.js';

/** A sparse distribution per row. */
export interface SampledTensors {
  /** (M, N) int32, in 0 … V − 1; an id that comes twice counts with both weights. */ readonly ids: tf.Tensor2D;
  /** (M, N); each row sums to 1. */ readonly weights: tf.Tensor2D;
  /** (M): entropy of the whole distribution, nats. */ readonly entropy: tf.Tensor1D;
}

/**
 * What p̂ has beyond the first id of each row, as shares of single logits: −1 for that id and the weights of all N. @returns the first ids (M); where the logits of
 * the shares are, read as one list, (M, N + 1); and the shares (M, N + 1). All are the caller's.
 */
export function sparseShares({ ids, weights }: Pick<SampledTensors, 'ids' | 'weights'>, vocabulary: number): { first: tf.Tensor1D; places: tf.Tensor2D; shares: tf.Tensor2D } {
  return tf.tidy(() => {
    const [rows] = ids.shape;
    const first = tf.slice2d(ids, [0, 0], [rows, 1]);
    const rowStarts = tf.reshape(tf.mul(tf.range(0, rows, 1, 'int32'), tf.scalar(vocabulary, 'int32')), [rows, 1]);
    return {
      first: tf.reshape<tf.Rank.R1>(first, [rows]), places: tf.add<tf.Tensor2D>(tf.concat2d([first, ids], 1), rowStarts), shares: tf.concat2d([tf.fill([rows, 1], -1), weights], 1),
    };
  });
}

/**
 * Divergence of the student's softened distribution from a sampled one per row, in nats: −H(p) − Σ_n w_n·log q(id_n) with q = softmax(logits/τ). Where
 * the sample is unbiased, this is `softTargetDivergence` on average, and so is its gradient (q − p̂)/τ; of a single row it may be negative.
 *
 * With z = logits/τ and weights that sum to 1 it equals CE(z, id_1) − (Σ_n w_n·z(id_n) − z(id_1)) − H(p): one pass over the vocabulary, which backends
 * have a kernel for, and N numbers a row.
 * @param logits (M, V). @returns the gradient is that of the logits; both are the caller's.
 */
export function sampledTargetDivergence(logits: tf.Tensor2D, { ids, weights, entropy }: SampledTensors, temperature: number): RowLosses {
  return tf.tidy(() => {
    const [rows, vocabulary] = logits.shape;
    const scaled = tf.div<tf.Tensor2D>(logits, temperature);
    const { first, places, shares } = sparseShares({ ids, weights }, vocabulary);
    const { loss, gradient } = crossEntropy(scaled, first);
    const weighted = tf.sum(tf.mul(tf.gather(tf.reshape(scaled, [rows * vocabulary]), places), shares), 1);
    const sparse = tf.scatterND(tf.reshape(places, [places.size, 1]), tf.reshape(shares, [shares.size]), [rows * vocabulary]);
    return {
      loss: tf.sub<tf.Tensor1D>(tf.sub(loss, weighted), entropy),
      gradient: tf.div<tf.Tensor2D>(tf.sub(gradient, tf.reshape(sparse, [rows, vocabulary])), temperature),
    };
  });
}
