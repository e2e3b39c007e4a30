import * as tf from '@tensorflow/tfjs-core';

import { applyCustomOp } from './kernels.js';
import { meanOfAll, scaledSum } from './reduce.js';

/**
 * Mean firing rate of each of `groups` equal blocks of channels: spikes per neuron and time step, 0–1.
 * @param spikes (T, N, C). @returns (groups), differentiable.
 */
export function firingRates(spikes: tf.Tensor3D, groups: number): tf.Tensor1D {
  if (groups === 1) return tf.reshape(meanOfAll(spikes), [1]);
  const [timeSteps, rows, channels] = spikes.shape;
  const slots = (timeSteps * rows * channels) / groups;
  return applyCustomOp({
    inputs: [spikes],
    forward: () => tf.div(tf.sum(tf.reshape(tf.sum(tf.reshape(spikes, [timeSteps * rows, channels]), 0), [groups, channels / groups]), 1), slots),
    backward: (dy) => {
      const perChannel = tf.reshape(tf.tile(tf.expandDims(tf.div(dy, slots), 1), [1, channels / groups]), [1, channels]);
      return [tf.reshape(tf.tile(perChannel, [timeSteps * rows, 1]), spikes.shape)];
    },
  }) as tf.Tensor1D;
}

/** Mean firing rate over the causal pairs of attention maps (B, H, L, L), already averaged over time; differentiable. */
export function attentionDensity(meanMap: tf.Tensor4D): tf.Scalar {
  const [batch, heads, length] = meanMap.shape;
  return scaledSum<tf.Rank.R0>(meanMap, [0, 1, 2, 3], 2 / (batch * heads * length * (length + 1)));
}
