import * as tf from '@tensorflow/tfjs-core';

/**
 * Gradients of a scalar by name of the variable; a variable it does not depend on is absent. Everything else made inside `compute`
 * is disposed unless kept. @returns the value and the gradients, the caller's to dispose.
 */
export function backward(
  parameters: ReadonlyMap<string, tf.Variable>, compute: () => tf.Scalar,
): { value: tf.Scalar; gradients: Map<string, tf.Tensor> } {
  // The fourth argument allows variables without a gradient; `tf.variableGrads` would refuse when all are.
  const { value, grads } = tf.engine().gradients(compute, [...parameters.values()], undefined, true);
  const gradients = new Map<string, tf.Tensor>();
  [...parameters.keys()].forEach((name, i) => {
    const gradient = grads[i] as tf.Tensor | null | undefined;
    if (gradient != null) gradients.set(name, gradient);
  });
  return { value, gradients };
}
