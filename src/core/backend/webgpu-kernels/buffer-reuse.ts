import type { GpuBackend } from './gpu.js';

/**
 * Lets the memory of a disposed tensor be used again at once. TensorFlow.js keeps it until the commands that were recorded with it are submitted, 15
 * dispatches later; but commands run in the order they are recorded in, and whatever is written to the buffer next is written by a later one of them:
 * its pool hands out buffers and never destroys them, and uploads into such a buffer are recorded copies. (Uniforms, which the queue writes at once, have
 * buffers of their own that wait for the submission.)
 */
export function reuseBuffersAtOnce(backend: GpuBackend): void {
  const dispose = backend.disposeData.bind(backend);
  backend.disposeData = (id, force) => {
    backend.commandQueueOwnedIds.delete(id);
    return dispose(id, force);
  };
}
