import * as tf from '@tensorflow/tfjs-core';

import { indicator } from './indicator.js';
import { hasKernel, output, runKernel } from './kernels.js';

/** A loss per row and its gradient: both come from one pass over the logits. */
export interface RowLosses {
  /** (M), nats */ readonly loss: tf.Tensor1D;
  /** (M, V): of each row's loss with respect to its logits. */ readonly gradient: tf.Tensor2D;
}

/**
 * Next-token cross-entropy per row, in nats: −log softmax(logits)[label].
 * @param logits (M, V). @param labels (M) int32; −1 is ignored (loss and gradient 0).
 */
export function crossEntropy(logits: tf.Tensor2D, labels: tf.Tensor1D): RowLosses {
  if (hasKernel('BispikCrossEntropy')) {
    const outputs = runKernel('BispikCrossEntropy', { logits, labels }, {});
    return { loss: output(outputs, 0), gradient: output(outputs, 1) };
  }
  return tf.tidy(() => {
    const valid = indicator<tf.Tensor1D>(tf.greaterEqual(labels, 0));
    const target = tf.mul(tf.oneHot(labels, logits.shape[1]), tf.expandDims(valid, 1));
    const logP = tf.logSoftmax(logits);
    return {
      loss: tf.neg<tf.Tensor1D>(tf.sum(tf.mul(target, logP), 1)),
      gradient: tf.sub<tf.Tensor2D>(tf.mul(tf.exp(logP), tf.expandDims(valid, 1)), target),
    };
  });
}

/**
 * Divergence of the student's softened distribution from the teacher's per row, in nats: Σ p_T·(log p_T − log p_S) with
 * p = softmax(logits/τ) (Hinton et al., 2015; the factor τ² belongs to the loss that uses it).
 * @param student (M, V). @param teacher (M, V), a constant. @returns the gradient is that of the student's logits.
 */
export function softTargetDivergence(student: tf.Tensor2D, teacher: tf.Tensor2D, temperature: number): RowLosses {
  return tf.tidy(() => {
    const logS = tf.logSoftmax(tf.div<tf.Tensor2D>(student, temperature));
    const logT = tf.logSoftmax(tf.div<tf.Tensor2D>(teacher, temperature));
    const pT = tf.exp(logT);
    return {
      loss: tf.sum<tf.Tensor1D>(tf.mul(pT, tf.sub(logT, logS)), 1),
      gradient: tf.div<tf.Tensor2D>(tf.sub(tf.exp(logS), pT), temperature),
    };
  });
}
