import * as tf from '@tensorflow/tfjs-core';

import { applyCustomOp, output, runKernel, share } from './kernels.js';
import { isAbsentGradient, spareAbsentGradients } from './reverse-pass.js';

const KERNEL = 'BispikAddWrite';
const GRADIENT_KERNEL = 'BispikAddWriteGrad';

/** stream + write, differentiable; unlike `tf.add` it saves neither. @param stream like write, or with one time step for all of write's (T, N, D). */
export function addWrite(stream: tf.Tensor3D, write: tf.Tensor3D): tf.Tensor3D {
  return applyCustomOp({
    inputs: [stream, write],
    forward: () => tf.add(stream, write),
    backward: (dy) => [overTime(dy, isRepeated(stream, write)), dy],
  }) as tf.Tensor3D;
}

/** A residual stream after a write. */
export interface WrittenStream {
  /** (T, N, D) */ readonly stream: tf.Tensor3D;
  /** (N, D): its mean over time. */ readonly mean: tf.Tensor2D;
}

/**
 * stream + write and its mean over time, in one launch where the backend has a kernel for it; both differentiable, and nothing is saved. The gradient at
 * every time step is dStream + dMean/T, of the two what there is. `registerResidual` must have run for the active backend.
 * @param stream like write, or with one time step for all of write's (T, N, D).
 */
export function addWriteAndMean(stream: tf.Tensor3D, write: tf.Tensor3D): WrittenStream {
  const outputs = runKernel(KERNEL, { stream, write }, { timeSteps: write.shape[0], isRepeated: isRepeated(stream, write) });
  return { stream: output<tf.Rank.R3>(outputs, 0), mean: output<tf.Rank.R2>(outputs, 1) };
}

/** Makes `addWriteAndMean` available on a backend that has no kernel of its own for it, and differentiable everywhere. */
export function registerResidual(backendName: string): void {
  if (tf.getKernel(KERNEL, backendName) == null) {
    tf.registerKernel({ kernelName: KERNEL, backendName, kernelFunc: ({ inputs }) => composedForward(inputs) });
    tf.registerKernel({ kernelName: GRADIENT_KERNEL, backendName, kernelFunc: ({ inputs, attrs }) => composedBackward(inputs, Number(attrs?.['timeSteps'])) });
  }
  spareAbsentGradients(KERNEL);
  if (tf.getGradient(KERNEL) == null) tf.registerGradient({ kernelName: KERNEL, gradFunc });
}

function gradFunc(dy: tf.Tensor | tf.Tensor[], _: tf.Tensor[], attrs: tf.NamedAttrMap): ReturnType<tf.GradFunc> {
  const [dStream, dMean] = dy as [tf.Tensor, tf.Tensor];
  const dx = isAbsentGradient(dMean) ? dStream
    : output(runKernel(GRADIENT_KERNEL, { dMean, ...(isAbsentGradient(dStream) ? {} : { dOut: dStream }) }, attrs), 0);
  return { stream: () => overTime(dx, attrs['isRepeated'] === true), write: () => dx };
}

function composedForward(inputs: tf.NamedTensorInfoMap): tf.Tensor[] {
  return tf.tidy(() => {
    const { stream, write } = inputs as { stream: tf.Tensor3D; write: tf.Tensor3D };
    const out = tf.add(stream, write);
    return [out, tf.mul(tf.sum(out, 0), 1 / write.shape[0])];
  });
}

function composedBackward(inputs: tf.NamedTensorInfoMap, timeSteps: number): tf.Tensor {
  return tf.tidy(() => {
    const { dMean, dOut } = inputs as { dMean: tf.Tensor2D; dOut?: tf.Tensor3D };
    const share = tf.expandDims(tf.mul(dMean, 1 / timeSteps), 0);
    return dOut === undefined ? tf.tile(share, [timeSteps, 1, 1]) : tf.add(dOut, share);
  });
}

function isRepeated(stream: tf.Tensor, write: tf.Tensor): boolean {
  return stream.shape[0] !== write.shape[0];
}

/** The gradient of a stream: one owner more of that of the sum, or its own sum over the time steps that saw the only one. */
function overTime(dy: tf.Tensor, isSummed: boolean): tf.Tensor {
  return isSummed ? tf.sum(dy, 0, true) : share(dy);
}
