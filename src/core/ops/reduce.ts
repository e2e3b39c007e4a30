import * as tf from '@tensorflow/tfjs-core';

import { applyCustomOp, hasKernel, output, runKernel, view } from './kernels.js';

/** factor·x, differentiable; unlike `tf.mul` with a number it saves nothing for the backward pass. */
export function scale<X extends tf.Tensor>(x: X, factor: number): X {
  return applyCustomOp({ inputs: [x], forward: () => multiplyBy(x, factor), backward: (dy) => [multiplyBy(dy, factor)] }) as X;
}

/** factor·x inside an operation with a gradient of its own. */
function multiplyBy(x: tf.Tensor, factor: number): tf.Tensor {
  return hasKernel('BispikScale') ? output(runKernel('BispikScale', { x }, { factor }), 0) : tf.mul(x, factor);
}

/**
 * Sum over some axes times a factor. Its gradient only repeats the given one; TensorFlow.js's own fills a tensor of ones in
 * JavaScript and multiplies by it. Differentiable.
 */
export function scaledSum<R extends tf.Rank>(x: tf.Tensor, axes: readonly number[], factor: number): tf.Tensor<R> {
  const scaled = (value: tf.Tensor): tf.Tensor => (factor === 1 ? tf.clone(value) : multiplyBy(value, factor));
  return applyCustomOp({
    inputs: [x],
    forward: () => scaled(tf.sum(x, [...axes])),
    backward: (dy) => {
      const kept = x.shape.map((extent, axis) => (axes.includes(axis) ? 1 : extent));
      return [tf.tile(view(scaled(dy), kept), x.shape.map((extent, axis) => (axes.includes(axis) ? extent : 1)))];
    },
  }) as tf.Tensor<R>;
}

/** Mean over some axes: backends reduce sums fast, means not always. Differentiable. */
export function meanOver<R extends tf.Rank>(x: tf.Tensor, axes: readonly number[]): tf.Tensor<R> {
  const count = axes.reduce((product, axis) => product * (x.shape[axis] ?? 1), 1);
  return scaledSum(x, axes, 1 / count);
}

/** Mean of all elements, differentiable. */
export function meanOfAll(x: tf.Tensor): tf.Scalar {
  return scaledSum<tf.Rank.R0>(x, x.shape.map((_, axis) => axis), 1 / x.size);
}

/** factor·Σ(x − target)², differentiable in x; the target is a constant of the same shape. */
export function squaredError(x: tf.Tensor, target: tf.Tensor, factor: number): tf.Scalar {
  return applyCustomOp({
    inputs: [x],
    forward: (save) => {
      const [error, difference] = errorOf(x, target, factor);
      save([difference]);
      return error;
    },
    backward: (dy, saved) => [tf.mul(output(saved, 0), multiplyBy(dy, 2 * factor))],
  }) as tf.Scalar;
}

/** factor·Σ(x − target)² and x − target. */
function errorOf(x: tf.Tensor, target: tf.Tensor, factor: number): [error: tf.Tensor, difference: tf.Tensor] {
  if (hasKernel('BispikSquaredError')) {
    const outputs = runKernel('BispikSquaredError', { x, target }, { factor });
    return [output(outputs, 0), output(outputs, 1)];
  }
  const difference = tf.sub(x, target);
  return [tf.mul(tf.sum(tf.square(difference)), factor), difference];
}

/** Biased standard deviation over some axes. */
export function stdOver<R extends tf.Rank>(x: tf.Tensor, axes: readonly number[]): tf.Tensor<R> {
  const count = axes.reduce((product, axis) => product * (x.shape[axis] ?? 1), 1);
  const mean = tf.div(tf.sum(x, [...axes], true), count);
  return tf.sqrt(tf.div(tf.sum(tf.square(tf.sub(x, mean)), [...axes]), count));
}
