import * as tf from '@tensorflow/tfjs-core';

import { freeUnusedMemory } from '../../src/core/backend/unused-memory.js';
import type { GpuBackend } from '../../src/core/backend/webgpu-kernels/gpu.js';

/** Watches what the WebGPU backend takes of its device. */
export interface MemoryWatch {
  /** Most bytes of buffers in use since the last `restart`. */ peakUsedBytes(): number;
  /** Most bytes allocated, buffers kept for later use included. */ peakAllocatedBytes(): number;
  /** Gives buffers nobody uses back to the device, and measures anew. */ restart(): void;
}

/** Watches the active backend, which must be `webgpu`, from now on. */
export function watchMemory(): MemoryWatch {
  const { bufferManager: manager } = tf.backend() as unknown as GpuBackend;
  let [used, allocated] = [0, 0];
  const look = (): void => {
    used = Math.max(used, manager.numBytesUsed);
    allocated = Math.max(allocated, manager.numBytesAllocated);
  };
  const acquire = manager.acquireBuffer.bind(manager);
  manager.acquireBuffer = (...args) => {
    const buffer = acquire(...args);
    look();
    return buffer;
  };
  return {
    peakUsedBytes: () => used,
    peakAllocatedBytes: () => allocated,
    restart: () => {
      freeUnusedMemory();
      [used, allocated] = [0, 0];
      look();
    },
  };
}
