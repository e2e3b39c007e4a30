import type { KernelConfig, TensorInfo } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';

/** What the kernels of a piece of work did. */
export interface KernelTraffic {
  /** Kernel launches. */ readonly dispatches: number;
  /** Bytes of all inputs and outputs of these launches. */ readonly bytesMoved: number;
  /** Largest sum of all live values after any launch, `resident` ones included; shared values count once [bytes]. */ readonly peakBytes: number;
}

/** These only rename memory: they launch nothing and move nothing. */
const VIEWS = new Set(['Reshape', 'Identity']);

/**
 * Counts the kernel launches of `work` on the active backend. A kernel that is put together from others (the composed forms of our
 * operations) counts as these others. Its own slow-down makes the times of `work` worthless.
 */
export async function countTraffic(work: () => Promise<void>, resident: Iterable<tf.Tensor>): Promise<KernelTraffic> {
  const backend = tf.getBackend();
  const counts: Counts = { dispatches: 0, bytesMoved: 0, peakBytes: 0, live: new Map() };
  for (const tensor of resident) counts.live.set(tensor.dataId, bytesOf(tensor));
  const originals = tf.getKernelsForBackend(backend);
  replace(originals.map((kernel) => ({ ...kernel, kernelFunc: counted(kernel, counts) })));
  try {
    await work();
  } finally {
    replace(originals);
  }
  const { dispatches, bytesMoved, peakBytes } = counts;
  return { dispatches, bytesMoved, peakBytes };
}

interface Counts { dispatches: number; bytesMoved: number; peakBytes: number; readonly live: Map<object, number> }

function replace(kernels: readonly KernelConfig[]): void {
  for (const kernel of kernels) {
    tf.unregisterKernel(kernel.kernelName, kernel.backendName);
    tf.registerKernel(kernel);
  }
}

function counted(kernel: KernelConfig, counts: Counts): KernelConfig['kernelFunc'] {
  return (call) => {
    const before = counts.dispatches;
    const outputs = kernel.kernelFunc(call);
    const isComposed = counts.dispatches > before;
    if (!isComposed && !VIEWS.has(kernel.kernelName)) {
      counts.dispatches++;
      for (const tensor of [...Object.values(call.inputs).flat(), ...[outputs].flat()]) counts.bytesMoved += bytesOf(tensor);
    }
    for (const tensor of [outputs].flat()) counts.live.set(tensor.dataId, bytesOf(tensor));
    let bytes = 0;
    for (const [dataId, size] of counts.live) {
      if (tf.backend().refCount(dataId) > 0) bytes += size;
      else counts.live.delete(dataId);
    }
    counts.peakBytes = Math.max(counts.peakBytes, bytes);
    return outputs;
  };
}

function bytesOf(tensor: TensorInfo | undefined): number {
  return tensor === undefined || tensor.dtype === 'string' ? 0 : tf.util.sizeFromShape(tensor.shape) * tf.util.bytesPerElement(tensor.dtype);
}
