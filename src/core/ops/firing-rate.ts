import type * as tf from '@tensorflow/tfjs-core';

import { scaledSum } from './reduce.js';

/** Mean firing rate over the causal pairs of attention maps (B, H, L, L), already averaged over time; differentiable. */
export function attentionDensity(meanMap: tf.Tensor4D): tf.Scalar {
  const [batch, heads, length] = meanMap.shape;
  return scaledSum<tf.Rank.R0>(meanMap, [0, 1, 2, 3], 2 / (batch * heads * length * (length + 1)));
}
