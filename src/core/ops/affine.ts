import * as tf from '@tensorflow/tfjs-core';

import { applyCustomOp, hasKernel, isRecording, output, runKernel } from './kernels.js';

/** x·W + b by the backend's one kernel for both. @param x (N, C). @param weight (C, M). @param bias (M). @returns (N, M), differentiable in all three. */
export function affine(x: tf.Tensor2D, weight: tf.Tensor2D, bias: tf.Tensor1D): tf.Tensor2D {
  return applyCustomOp({
    inputs: [x, weight, bias],
    forward: (save) => {
      save([x, weight]);
      const attrs = { transposeA: false, transposeB: false, activation: 'linear', leakyreluAlpha: 0 };
      return tf.engine().runKernel('_FusedMatMul', { a: x, b: weight, bias }, attrs);
    },
    backward: (dy, saved) => {
      const [from, matrix] = [output<tf.Rank.R2>(saved, 0), output<tf.Rank.R2>(saved, 1)];
      return [tf.matMul(dy as tf.Tensor2D, matrix, false, true), tf.matMul(from, dy as tf.Tensor2D, true, false), tf.sum(dy, 0)];
    },
  }) as tf.Tensor2D;
}

/**
 * max(x, 0)·W + b, differentiable as `affine`. Where nothing is recorded a backend may leave out the products with 0, which are most of them in a trained network
 * (75 to 90 % in the built-in teacher).
 */
export function reluAffine(x: tf.Tensor2D, weight: tf.Tensor2D, bias: tf.Tensor1D): tf.Tensor2D {
  if (isRecording() || !hasKernel('BispikReluMatMul')) return affine(tf.relu(x), weight, bias);
  return output(runKernel('BispikReluMatMul', { x, w: weight, b: bias }, {}), 0);
}
