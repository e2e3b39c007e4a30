import * as tf from '@tensorflow/tfjs-core';

/** Mean over some axes, as a sum and one division: backends reduce sums fast, means not always. Differentiable. */
export function meanOver<R extends tf.Rank>(x: tf.Tensor, axes: readonly number[]): tf.Tensor<R> {
  const count = axes.reduce((product, axis) => product * (x.shape[axis] ?? 1), 1);
  return tf.div(tf.sum(x, [...axes]), count);
}

/** Mean of all elements, differentiable. */
export function meanOfAll(x: tf.Tensor): tf.Scalar {
  return tf.div(tf.sum(x), x.size);
}

/** Biased standard deviation over some axes. */
export function stdOver<R extends tf.Rank>(x: tf.Tensor, axes: readonly number[]): tf.Tensor<R> {
  const count = axes.reduce((product, axis) => product * (x.shape[axis] ?? 1), 1);
  const mean = tf.div(tf.sum(x, [...axes], true), count);
  return tf.sqrt(tf.div(tf.sum(tf.square(tf.sub(x, mean)), [...axes]), count));
}
