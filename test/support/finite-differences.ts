import * as tf from '@tensorflow/tfjs-core';

import { numbers } from './kernel-cases.js';

/** Values of one input, float64. */
export interface Input { readonly values: readonly number[]; readonly shape: readonly number[] }

/** Seeded values between −1 and 1 with three decimals, exact enough in float32. */
export function seededInput(shape: readonly number[], seed: number): Input {
  const size = shape.reduce((a, b) => a * b, 1);
  return { shape, values: Array.from(numbers(seed).floats(size), (value) => Math.round(value * 1000) / 1000) };
}

/** Value, and gradients of Σ weights·value, of an operation on the active backend. */
export async function evaluateOperation(
  operation: (...inputs: tf.Tensor[]) => tf.Tensor, inputs: readonly Input[], weights: readonly number[],
): Promise<{ value: Float32Array; gradients: Float32Array[] }> {
  const tensors = tf.tidy(() => {
    const at = inputs.map(({ values, shape }) => tf.tensor([...values], [...shape]));
    const weigh = (...xs: tf.Tensor[]): tf.Scalar => {
      const y = operation(...xs);
      return tf.sum(tf.mul(y, tf.tensor([...weights], y.shape)));
    };
    return [operation(...at), ...tf.grads(weigh)(at)];
  });
  const [value, ...gradients] = await Promise.all(tensors.map((tensor) => tensor.data<'float32'>()));
  tf.dispose(tensors);
  return { value: value as Float32Array, gradients };
}

/** Gradients of Σ weights·f by central differences of a float64 reference. */
export function finiteDifferences(
  f: (...inputs: (readonly number[])[]) => readonly number[], inputs: readonly Input[], weights: readonly number[],
): number[][] {
  const step = 1e-5;
  const weighed = (at: (readonly number[])[]): number => f(...at).reduce((sum, y, i) => sum + y * (weights[i] as number), 0);
  return inputs.map(({ values }, which) => values.map((value, i) => {
    const moved = (by: number): number => weighed(inputs.map((input, j) => (j === which ? input.values.with(i, value + by) : input.values)));
    return (moved(step) - moved(-step)) / (2 * step);
  }));
}
