import * as tf from '@tensorflow/tfjs-core';

/** The parts of TensorFlow.js's pool of GPU buffers (4.22) that are measured. */
interface BufferManager {
  readonly numBytesUsed: number;
  numBytesAllocated: number;
  numFreeBuffers: number;
  readonly freeBuffers: Map<string, { readonly size: number; destroy(): void }[]>;
  acquireBuffer(...args: readonly unknown[]): unknown;
}

/** Watches what the WebGPU backend takes of its device. */
export interface MemoryWatch {
  /** Most bytes of buffers in use since the last `restart`. */ peakUsedBytes(): number;
  /** Most bytes allocated, buffers kept for later use included. */ peakAllocatedBytes(): number;
  /** Gives buffers nobody uses back to the device, and measures anew. */ restart(): void;
}

/** Watches the active backend, which must be `webgpu`, from now on. */
export function watchMemory(): MemoryWatch {
  const { bufferManager: manager } = tf.backend() as unknown as { readonly bufferManager: BufferManager };
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
      for (const buffers of manager.freeBuffers.values()) {
        for (const buffer of buffers.splice(0)) {
          buffer.destroy();
          manager.numBytesAllocated -= buffer.size;
          manager.numFreeBuffers--;
        }
      }
      [used, allocated] = [0, 0];
      look();
    },
  };
}
