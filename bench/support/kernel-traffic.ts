import type { KernelConfig, TensorInfo } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';

/** What the kernels of a piece of work did. */
export interface KernelTraffic {
  /** Kernel launches. */ readonly dispatches: number;
  /** Bytes of all inputs and outputs of these launches. */ readonly bytesMoved: number;
  /** Largest sum of all live tensors after any launch [bytes]. */ readonly peakBytes: number;
}

/** These only rename memory: they launch nothing and move nothing. */
const VIEWS = new Set(['Reshape', 'Identity']);

/**
 * Counts the kernel launches of `work` on the active backend. A kernel that is put together from others (the composed forms of our
 * operations) counts as these others. Its own slow-down makes the times of `work` worthless.
 */
export async function countTraffic(work: () => Promise<void>): Promise<KernelTraffic> {
  const backend = tf.getBackend();
  const counts = { dispatches: 0, bytesMoved: 0, peakBytes: 0 };
  const originals = tf.getKernelsForBackend(backend);
  replace(originals.map((kernel) => ({ ...kernel, kernelFunc: counted(kernel, counts) })));
  try {
    await work();
  } finally {
    replace(originals);
  }
  return counts;
}

function replace(kernels: readonly KernelConfig[]): void {
  for (const kernel of kernels) {
    tf.unregisterKernel(kernel.kernelName, kernel.backendName);
    tf.registerKernel(kernel);
  }
}

function counted(kernel: KernelConfig, counts: { dispatches: number; bytesMoved: number; peakBytes: number }): KernelConfig['kernelFunc'] {
  return (call) => {
    const before = counts.dispatches;
    const outputs = kernel.kernelFunc(call);
    const isComposed = counts.dispatches > before;
    if (!isComposed && !VIEWS.has(kernel.kernelName)) {
      counts.dispatches++;
      for (const tensor of [...Object.values(call.inputs).flat(), ...[outputs].flat()]) counts.bytesMoved += bytesOf(tensor);
    }
    counts.peakBytes = Math.max(counts.peakBytes, tf.memory().numBytes);
    return outputs;
  };
}

function bytesOf(tensor: TensorInfo | undefined): number {
  return tensor === undefined || tensor.dtype === 'string' ? 0 : tf.util.sizeFromShape(tensor.shape) * tf.util.bytesPerElement(tensor.dtype);
}
