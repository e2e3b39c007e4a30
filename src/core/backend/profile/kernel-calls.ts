import type { KernelConfig, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';

import { operationsOf } from './kernel-operations.js';

/** One run of a kernel of the active backend, as TensorFlow.js calls it. */
export interface KernelCall {
  readonly name: string;
  /** Wall time of the call without that of kernels it calls in its turn; on a GPU only the time to record it [ms]. */ readonly callMs: number;
  /** Put together from other kernels, which count in its place. */ readonly isComposed: boolean;
  readonly outputs: readonly TensorInfo[];
  /** Sizes of all inputs and outputs; 0 for a composed kernel. */ readonly bytes: number;
  /** Additions and multiplications by its formula; 0 for a composed kernel. */ readonly operations: number;
}

/** Who is told of kernels. */
export interface KernelListener {
  /** Just before a kernel runs, on what. What it throws ends the work. */ begin?(name: string, inputs: NamedTensorInfoMap): void;
  /** Just after. */ end(call: KernelCall): void;
}

/** These only rename memory: they launch nothing and move nothing. */
const VIEWS = new Set(['Reshape', 'Identity']);

/** Tells `listener` of every kernel of the active backend, in its order, until the returned function is called. Results stay the same. */
export function listenToKernels(listener: KernelListener): () => void {
  const originals = tf.getKernelsForBackend(tf.getBackend());
  const stack: { inner: number; innerMs: number }[] = [];
  replace(originals.map((kernel) => ({ ...kernel, kernelFunc: VIEWS.has(kernel.kernelName) ? kernel.kernelFunc : listened(kernel, listener, stack) })));
  return () => { replace(originals); };
}

function listened(kernel: KernelConfig, listener: KernelListener, stack: { inner: number; innerMs: number }[]): KernelConfig['kernelFunc'] {
  return (call) => {
    const frame = { inner: 0, innerMs: 0 };
    stack.push(frame);
    try {
      listener.begin?.(kernel.kernelName, call.inputs);
      const start = performance.now();
      const outputs = kernel.kernelFunc(call);
      const tookMs = performance.now() - start;
      stack.pop();
      const outer = stack.at(-1);
      if (outer !== undefined) [outer.inner, outer.innerMs] = [outer.inner + 1, outer.innerMs + tookMs];
      const made = [outputs].flat();
      const isComposed = frame.inner > 0;
      listener.end({
        name: kernel.kernelName, callMs: tookMs - frame.innerMs, isComposed, outputs: made,
        bytes: isComposed ? 0 : [...Object.values(call.inputs).flat(), ...made].reduce((sum, tensor) => sum + bytesOf(tensor), 0),
        operations: isComposed ? 0 : operationsOf(kernel.kernelName, { inputs: call.inputs, outputs: made, attrs: call.attrs }),
      });
      return outputs;
    } catch (error) {
      stack.length = 0;
      throw error;
    }
  };
}

function replace(kernels: readonly KernelConfig[]): void {
  for (const kernel of kernels) {
    tf.unregisterKernel(kernel.kernelName, kernel.backendName);
    tf.registerKernel(kernel);
  }
}

/** Size of a tensor in TensorFlow.js's element sizes [bytes]; 0 for an optional one that is absent. */
export function bytesOf(tensor: TensorInfo | undefined): number {
  return tensor === undefined || tensor.dtype === 'string' ? 0 : tf.util.sizeFromShape(tensor.shape) * tf.util.bytesPerElement(tensor.dtype);
}
