import * as tf from '@tensorflow/tfjs-core';

/** Names of our own kernels; a backend that registers one replaces the composed form of the operation. */
export type SpikingKernel =
  | 'BispikPackSpikes' | 'BispikSpikeMatMul' | 'BispikSpikeMatMulGradW'
  | 'BispikReluMatMul' | 'BispikAddWrite' | 'BispikAddWriteGrad'
  | 'BispikLayerNorm' | 'BispikLayerNormGrad'
  | 'BispikTiledAttention' | 'BispikAlignedAttention' | 'BispikStreamedAttention'
  | 'BispikSquaredError' | 'BispikSquareSums' | 'BispikSquareRuns' | 'BispikRateCode' | 'BispikScale' | 'BispikMappedAttention' | 'BispikPlainLif' | 'BispikCausalSoftmax' | 'BispikSoftmaxAttention'
  | 'BispikAdamStep' | 'BispikAdamInPlace' | 'BispikAddInto'
  | 'BispikCrossEntropy' | 'BispikHeadLosses' | 'BispikSampleRows';

/** True when the active backend has its own version of a kernel. */
export function hasKernel(name: SpikingKernel): boolean {
  return tf.getKernel(name, tf.getBackend()) != null;
}

/** True in a pass that is differentiated, where every operation is recorded. */
export function isRecording(): boolean {
  const { gradientDepth, kernelDepth } = tf.engine().state;
  return gradientDepth > 0 && kernelDepth === 0;
}

/** Runs one of our kernels on the active backend; its outputs belong to the caller. @param inputs a list for a kernel that takes any number of tensors. */
export function runKernel(name: SpikingKernel, inputs: tf.NamedTensorMap | readonly tf.Tensor[], attrs: tf.NamedAttrMap): tf.Tensor[] {
  const outputs: tf.Tensor | tf.Tensor[] = tf.engine().runKernel(name, inputs as tf.NamedTensorMap, attrs);
  return Array.isArray(outputs) ? outputs : [outputs];
}

/**
 * The same values in another shape, as `tf.reshape` but a good deal cheaper: it is not checked, and not recorded, so that it belongs inside
 * operations with a gradient of their own. A tensor that has the shape is returned as it is.
 */
export function view<R extends tf.Rank>(x: tf.Tensor, shape: readonly number[]): tf.Tensor<R> {
  if (x.shape.length === shape.length && shape.every((extent, i) => extent === x.shape[i])) return x as tf.Tensor<R>;
  return share({ dataId: x.dataId, shape: [...shape], dtype: x.dtype }) as tf.Tensor<R>;
}

/** a + b of two tensors of one shape, as `tf.add` without its checks; inside operations with a gradient of their own, or where none is recorded. */
export function sum(a: tf.Tensor, b: tf.Tensor): tf.Tensor {
  return tf.engine().runKernel('Add', { a, b });
}

/** The same values under another owner, as `tf.clone` but without a kernel: it is not recorded, so that no gradient passes through. */
export function share(values: tf.TensorInfo): tf.Tensor {
  tf.backend().incRef(values.dataId);
  return tf.engine().makeTensorFromTensorInfo(values);
}

/** The output at `index`. @throws Error when a kernel returned fewer outputs: a bug, never a user's mistake. */
export function output<R extends tf.Rank>(outputs: readonly tf.Tensor[], index: number): tf.Tensor<R> {
  const tensor = outputs[index];
  if (tensor === undefined) throw new Error(`kernel output ${index} is missing (${outputs.length} outputs)`);
  return tensor as tf.Tensor<R>;
}

/** Forward and backward pass of an operation with a gradient of its own. */
export interface CustomOp {
  readonly inputs: readonly tf.Tensor[];
  /** Computes the value; tensors handed to `save` reach `backward`. */
  readonly forward: (save: (tensors: tf.Tensor[]) => void) => tf.Tensor;
  /** One gradient per input, in order. */
  readonly backward: (dy: tf.Tensor, saved: readonly tf.Tensor[]) => tf.Tensor[];
}

/** Applies an operation whose gradient is written by hand; nothing inside it is recorded for automatic differentiation. */
export function applyCustomOp(op: CustomOp): tf.Tensor {
  if (!isRecording()) return tf.tidy(() => op.forward(() => undefined));
  const differentiable = tf.customGrad((...args) => {
    const save = args[args.length - 1] as (tensors: tf.Tensor[]) => void;
    return { value: op.forward(save), gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => op.backward(dy, saved) };
  });
  return differentiable(...op.inputs);
}
