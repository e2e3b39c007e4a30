import * as tf from '@tensorflow/tfjs-core';

/** The part of the WebAssembly backend used here. */
interface WasmMemory { typedArrayFromHeap(tensor: tf.TensorInfo): Float32Array }

/**
 * Copies the values of a float32 tensor into `target`, which is as long. On `wasm` no array is made in between: those of every weight and gradient of
 * every step would bring on one garbage collection after the other, which take a core from the training threads.
 */
export function copyValues(tensor: tf.Tensor, target: Float32Array): void {
  target.set(isWasm() ? (tf.backend() as unknown as WasmMemory).typedArrayFromHeap(tensor) : tensor.dataSync<'float32'>());
}

/** A float32 tensor with the values of an array that will hold others later. */
export function tensorOf(values: Float32Array, shape: readonly number[]): tf.Tensor {
  // Other backends than wasm may keep the array they are given.
  return tf.tensor(isWasm() ? values : values.slice(), [...shape], 'float32');
}

function isWasm(): boolean {
  return tf.getBackend() === 'wasm';
}
