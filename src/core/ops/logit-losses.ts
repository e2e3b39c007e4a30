import * as tf from '@tensorflow/tfjs-core';

import { indicator } from './indicator.js';
import { applyCustomOp, hasKernel, output, runKernel } from './kernels.js';

/** A loss per row that also knows its gradient: both come from one pass over the logits. */
type RowLoss = (logits: tf.Tensor) => { loss: tf.Tensor; gradient: tf.Tensor };

function differentiable(logits: tf.Tensor2D, rowLoss: RowLoss): tf.Tensor1D {
  return applyCustomOp({
    inputs: [logits],
    forward: (save) => {
      const { loss, gradient } = rowLoss(logits);
      save([gradient]);
      return loss;
    },
    backward: (dy, saved) => [tf.mul(tf.expandDims(dy, 1), output(saved, 0))],
  }) as tf.Tensor1D;
}

/**
 * Next-token cross-entropy per row, in nats: −log softmax(logits)[label].
 * @param logits (M, V). @param labels (M) int32; −1 is ignored (loss 0). @returns (M), differentiable in the logits.
 */
export function crossEntropy(logits: tf.Tensor2D, labels: tf.Tensor1D): tf.Tensor1D {
  return differentiable(logits, (x) => {
    if (hasKernel('BispikCrossEntropy')) {
      const outputs = runKernel('BispikCrossEntropy', { logits: x, labels }, {});
      return { loss: output(outputs, 0), gradient: output(outputs, 1) };
    }
    const valid = indicator(tf.greaterEqual(labels, 0));
    const target = tf.mul(tf.oneHot(labels, logits.shape[1]), tf.expandDims(valid, 1));
    const logP = tf.logSoftmax(x);
    return {
      loss: tf.neg(tf.sum(tf.mul(target, logP), 1)),
      gradient: tf.sub(tf.mul(tf.exp(logP), tf.expandDims(valid, 1)), target),
    };
  });
}

/**
 * Divergence of the student's softened distribution from the teacher's per row, in nats: Σ p_T·(log p_T − log p_S) with
 * p = softmax(logits/τ) (Hinton et al., 2015; the factor τ² belongs to the loss that uses it).
 * @param student (M, V). @param teacher (M, V), a constant. @returns (M), differentiable in the student's logits.
 */
export function softTargetDivergence(student: tf.Tensor2D, teacher: tf.Tensor2D, temperature: number): tf.Tensor1D {
  return differentiable(student, (x) => {
    if (hasKernel('BispikSoftTarget')) {
      const outputs = runKernel('BispikSoftTarget', { student: x, teacher }, { temperature });
      return { loss: output(outputs, 0), gradient: output(outputs, 1) };
    }
    const logS = tf.logSoftmax(tf.div(x, temperature));
    const logT = tf.logSoftmax(tf.div(teacher, temperature));
    const pT = tf.exp(logT);
    return {
      loss: tf.sum(tf.mul(pT, tf.sub(logT, logS)), 1),
      gradient: tf.div(tf.sub(tf.exp(logS), pT), temperature),
    };
  });
}
