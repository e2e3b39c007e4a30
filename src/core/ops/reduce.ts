import * as tf from '@tensorflow/tfjs-core';

import { applyCustomOp, output } from './kernels.js';

/**
 * Sum over some axes. Its gradient only repeats the given one; TensorFlow.js's own fills a tensor of ones in JavaScript and
 * multiplies by it. Differentiable.
 */
export function sumOver<R extends tf.Rank>(x: tf.Tensor, axes: readonly number[]): tf.Tensor<R> {
  const kept = x.shape.map((extent, axis) => (axes.includes(axis) ? 1 : extent));
  return applyCustomOp({
    inputs: [x],
    forward: () => tf.sum(x, [...axes]),
    backward: (dy) => [tf.broadcastTo(tf.reshape(dy, kept), x.shape)],
  }) as tf.Tensor<R>;
}

/** Sum of all elements, differentiable. */
export function sumOfAll(x: tf.Tensor): tf.Scalar {
  return sumOver<tf.Rank.R0>(tf.reshape(x, [x.size]), [0]);
}

/** Mean over some axes, as a sum and one division: backends reduce sums fast, means not always. Differentiable. */
export function meanOver<R extends tf.Rank>(x: tf.Tensor, axes: readonly number[]): tf.Tensor<R> {
  const count = axes.reduce((product, axis) => product * (x.shape[axis] ?? 1), 1);
  return tf.div(sumOver(x, axes), count);
}

/** Mean of all elements, differentiable. */
export function meanOfAll(x: tf.Tensor): tf.Scalar {
  return tf.div(sumOfAll(x), x.size);
}

/** Σ(x − target)², differentiable in x; the target is a constant of the same shape. */
export function squaredError(x: tf.Tensor, target: tf.Tensor): tf.Scalar {
  return applyCustomOp({
    inputs: [x],
    forward: (save) => {
      const difference = tf.sub(x, target);
      save([difference]);
      return tf.sum(tf.square(difference));
    },
    backward: (dy, saved) => [tf.mul(output(saved, 0), tf.mul(dy, 2))],
  }) as tf.Scalar;
}

/** Biased standard deviation over some axes. */
export function stdOver<R extends tf.Rank>(x: tf.Tensor, axes: readonly number[]): tf.Tensor<R> {
  const count = axes.reduce((product, axis) => product * (x.shape[axis] ?? 1), 1);
  const mean = tf.div(tf.sum(x, [...axes], true), count);
  return tf.sqrt(tf.div(tf.sum(tf.square(tf.sub(x, mean)), [...axes]), count));
}
