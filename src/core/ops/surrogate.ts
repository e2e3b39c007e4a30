import * as tf from '@tensorflow/tfjs-core';

/** Shape of the surrogate for the derivative of the Heaviside step. */
export type SurrogateKind = 'atan' | 'sigmoid' | 'triangle';

/**
 * Derivative of the surrogate at x = u − threshold, elementwise; the forward pass stays exactly Heaviside.
 *
 * atan (paper, α = 2): (α/2) / (1 + (π/2·α·x)²); sigmoid: α·σ(αx)·(1 − σ(αx)); triangle: α·max(0, 1 − α|x|).
 */
export function surrogateDerivative(x: tf.Tensor, kind: SurrogateKind, alpha: number): tf.Tensor {
  switch (kind) {
    case 'atan':
      return tf.div(alpha / 2, tf.add(1, tf.square(tf.mul(x, (Math.PI / 2) * alpha))));
    case 'sigmoid': {
      const s = tf.sigmoid(tf.mul(x, alpha));
      return tf.mul(alpha, tf.mul(s, tf.sub(1, s)));
    }
    case 'triangle':
      return tf.mul(alpha, tf.relu(tf.sub(1, tf.mul(alpha, tf.abs(x)))));
  }
}
