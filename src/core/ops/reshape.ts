import type * as tf from '@tensorflow/tfjs-core';

import { applyCustomOp, view } from './kernels.js';

/**
 * The same values in another shape, differentiable. Unlike `tf.reshape`, which keeps its input until the backward pass for the sake of its shape, it
 * saves nothing. @param shape of as many elements.
 */
export function reshape<R extends tf.Rank>(x: tf.Tensor, shape: readonly number[]): tf.Tensor<R> {
  const from = x.shape;
  if (from.length === shape.length && from.every((extent, axis) => extent === shape[axis])) return x as tf.Tensor<R>;
  return applyCustomOp({ inputs: [x], forward: () => view(x, shape), backward: (dy) => [view(dy, from)] }) as tf.Tensor<R>;
}
