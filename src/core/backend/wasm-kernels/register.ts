import type { KernelConfig } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';

import type { KernelHeap } from './heap.js';
import { matMulKernels } from './matmul.js';

/** Registers every kernel of ours for the wasm backend, in place of the standard one where there is one. */
export function registerKernels(heap: KernelHeap): void {
  const kernels: KernelConfig[] = [...matMulKernels(heap)];
  for (const kernel of kernels) {
    if (tf.getKernel(kernel.kernelName, kernel.backendName) != null) tf.unregisterKernel(kernel.kernelName, kernel.backendName);
    tf.registerKernel(kernel);
  }
}
