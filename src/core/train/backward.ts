import type * as tf from '@tensorflow/tfjs-core';

import { reversePass } from '../ops/reverse-pass.js';

/**
 * Gradients of a scalar by name of the variable; a variable it does not depend on is absent. Everything else made inside `compute`
 * is disposed unless kept. @returns the value and the gradients, the caller's to dispose.
 */
export function backward(
  parameters: ReadonlyMap<string, tf.Variable>, compute: () => tf.Scalar,
): { value: tf.Scalar; gradients: Map<string, tf.Tensor> } {
  const { value, gradients: found } = reversePass(compute, [...parameters.values()]);
  const gradients = new Map<string, tf.Tensor>();
  [...parameters.keys()].forEach((name, i) => {
    const gradient = found[i];
    if (gradient != null) gradients.set(name, gradient);
  });
  return { value, gradients };
}
