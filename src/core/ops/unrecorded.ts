import * as tf from '@tensorflow/tfjs-core';

import { applyCustomOp } from './kernels.js';

/**
 * Computes constants inside a differentiated function without recording how: nothing is saved for a backward pass that never
 * comes, and intermediate tensors are freed at once.
 * @returns what `compute` returns, owned by the caller's tidy; gradients do not flow through.
 */
export function unrecorded(compute: () => readonly tf.Tensor[]): tf.Tensor[] {
  const kept: tf.Tensor[] = [];
  applyCustomOp({
    inputs: [tf.scalar(0)],
    forward: () => {
      for (const tensor of compute()) kept.push(tf.keep(tf.clone(tensor)));
      return tf.scalar(0);
    },
    backward: (dy) => [dy],
  });
  return kept.map((tensor) => {
    // Kept tensors belong to no scope: hand their values over to one that belongs to the caller's.
    tf.backend().incRef(tensor.dataId);
    const own = tf.engine().makeTensorFromTensorInfo(tensor);
    tensor.dispose();
    return own;
  });
}
