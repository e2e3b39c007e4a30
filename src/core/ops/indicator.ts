import * as tf from '@tensorflow/tfjs-core';

/**
 * 1 where a condition holds, else 0, as float32. Not a cast: WebGPU's cast from bool only renames its integer buffer, and kernels
 * that follow it (transpose) then fail to compile.
 */
export function indicator<X extends tf.Tensor>(condition: tf.Tensor): X {
  return tf.where(condition, tf.scalar(1), tf.scalar(0)) as X;
}
