import * as tf from '@tensorflow/tfjs-core';

import type { GpuBackend } from './webgpu-kernels/gpu.js';

/**
 * Gives the buffers that the active backend keeps for sizes that come again back to the device, where it keeps any (`webgpu`). For moments when work of
 * other sizes begins: afterwards the buffers of the new sizes are made anew.
 */
export function freeUnusedMemory(): void {
  if (tf.getBackend() !== 'webgpu') return;
  const backend = tf.backend() as unknown as GpuBackend;
  // What is recorded may read a buffer that nobody owns any more.
  backend.ensureCommandEncoderReady();
  backend.endComputePassEncoder();
  backend.submitQueue();
  const { bufferManager } = backend;
  for (const buffers of bufferManager.freeBuffers.values()) {
    for (const buffer of buffers.splice(0)) {
      buffer.destroy();
      bufferManager.numBytesAllocated -= buffer.size;
      bufferManager.numFreeBuffers--;
    }
  }
}
