import type * as tf from '@tensorflow/tfjs-core';

import { scaledSum } from './reduce.js';

/** Mean firing rate over causal pairs and T time steps, from how many keys of each query fired in them, (B, H, L); differentiable. */
export function attentionDensity(counts: tf.Tensor3D, timeSteps: number): tf.Scalar {
  const [batch, heads, length] = counts.shape;
  return scaledSum<tf.Rank.R0>(counts, [0, 1, 2], 2 / (timeSteps * batch * heads * length * (length + 1)));
}
