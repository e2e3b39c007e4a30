import * as tf from '@tensorflow/tfjs-core';

import { applyCustomOp, output } from './kernels.js';

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
