import * as tf from '@tensorflow/tfjs-core';

/** The part of the WebAssembly backend used here. */
interface WasmMemory { typedArrayFromHeap(tensor: tf.TensorInfo): Float32Array }

/**
 * Copies the values of a float32 tensor into `target`, which is as long. On `wasm` no array is made in between: those of every weight and gradient of
 * every step would bring on one garbage collection after the other, which take a core from the training threads.
 */
export function copyValues(tensor: tf.Tensor, target: Float32Array): void {
  target.set(isWasm() ? heapValues(tensor) : tensor.dataSync<'float32'>());
}

/** A float32 tensor with the values of an array that will hold others later. */
export function tensorOf(values: Float32Array, shape: readonly number[]): tf.Tensor {
  // Without the checks of `tf.tensor`. Other backends than wasm may keep the array they are given.
  return tf.engine().makeTensor(isWasm() ? values : values.slice(), [...shape], 'float32') as tf.Tensor;
}

/** True when nobody else owns the values of a tensor, so that they may be written over. */
export function ownsValues({ dataId }: tf.Tensor): boolean {
  return tf.backend().refCount(dataId) === 1;
}

/** Gives a variable values of its own where others own them too, e.g. the teacher whose embedding a student starts from. */
export function ownValues(variable: tf.Variable): void {
  if (!ownsValues(variable)) replaceValues(variable, variable.dataSync<'float32'>());
}

/** Gives a float32 variable the values of an array that will hold others later; tensors that shared its values keep theirs. On `wasm` they are copied to where the old ones lie. */
export function setValues(variable: tf.Variable, values: Float32Array): void {
  if (isWasm() && ownsValues(variable)) heapValues(variable).set(values);
  else replaceValues(variable, values);
}

function replaceValues(variable: tf.Variable, values: Float32Array): void {
  const tensor = tensorOf(values, variable.shape);
  variable.assign(tensor);
  tensor.dispose();
}

/** Where they lie; another tensor that is made may move them. */
function heapValues(tensor: tf.Tensor): Float32Array {
  return (tf.backend() as unknown as WasmMemory).typedArrayFromHeap(tensor);
}

function isWasm(): boolean {
  return tf.getBackend() === 'wasm';
}
