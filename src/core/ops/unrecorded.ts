import * as tf from '@tensorflow/tfjs-core';

import { share } from './kernels.js';

/**
 * Computes constants inside a differentiated function without recording how: nothing is saved for a backward pass that never
 * comes, and intermediate tensors are freed at once.
 * @returns what `compute` returns, owned by the caller's tidy; gradients do not flow through.
 */
export function unrecorded(compute: () => readonly tf.Tensor[]): tf.Tensor[] {
  const { state } = tf.engine();
  state.kernelDepth++; // the engine records nothing inside a kernel
  try {
    return tf.tidy(() => compute().map(share));
  } finally {
    state.kernelDepth--;
  }
}
