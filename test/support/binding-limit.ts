import * as tf from '@tensorflow/tfjs-core';

import { guardBindings } from '../../src/core/backend/webgpu-kernels/binding-limit.js';
import { createDispatcher } from '../../src/core/backend/webgpu-kernels/dispatch.js';
import type { GpuBackend } from '../../src/core/backend/webgpu-kernels/gpu.js';
import { registerGpuKernels } from '../../src/core/backend/webgpu-kernels/register.js';

/** Runs `work` with the kernels of a device that lets none see more than so many bytes of a tensor: whatever binds more throws. */
export async function withBindingLimit<Result>(bytes: number, work: () => Promise<Result>): Promise<Result> {
  const backend = tf.backend() as unknown as GpuBackend;
  const { tensorToBinding } = backend;
  const kernels = tf.getKernelsForBackend('webgpu');
  registerGpuKernels(createDispatcher(backend, bytes));
  guardBindings(backend, bytes);
  try {
    return await work();
  } finally {
    backend.tensorToBinding = tensorToBinding;
    for (const kernel of kernels) {
      tf.unregisterKernel(kernel.kernelName, 'webgpu');
      tf.registerKernel(kernel);
    }
  }
}
