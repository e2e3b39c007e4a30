import type { KernelConfig } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';

import type { GpuDispatcher } from './dispatch.js';
import { lifKernels } from './lif.js';

const GROUPS: ReadonlyArray<(gpu: GpuDispatcher) => KernelConfig[]> = [
  lifKernels,
];

/** Registers every kernel of ours for the webgpu backend, in place of the standard one where there is one. */
export function registerGpuKernels(gpu: GpuDispatcher): void {
  for (const kernel of GROUPS.flatMap((group) => group(gpu))) {
    if (tf.getKernel(kernel.kernelName, kernel.backendName) != null) tf.unregisterKernel(kernel.kernelName, kernel.backendName);
    tf.registerKernel(kernel);
  }
}
