import type * as tf from '@tensorflow/tfjs-core';

import { scaledSum } from './reduce.js';
import { reshape } from './reshape.js';

/** Mean firing rate (1) over causal pairs and T time steps, from how many keys of each query fired in them, (B, H, L); differentiable. */
export function attentionDensity(counts: tf.Tensor3D, timeSteps: number): tf.Tensor1D {
  return reshape(scaledSum(counts, [0, 1, 2], densityFactor(counts.shape, timeSteps)), [1]);
}

/** What a single spike adds to the density. @param shape (B, H, L) of the counts. */
export function densityFactor([batch, heads, length]: readonly [number, number, number], timeSteps: number): number {
  return 2 / (timeSteps * batch * heads * length * (length + 1));
}
