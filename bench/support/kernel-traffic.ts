import * as tf from '@tensorflow/tfjs-core';

import { bytesOf, listenToKernels } from '../../src/core/backend/profile/kernel-calls.js';

/** What the kernels of a piece of work did. */
export interface KernelTraffic {
  /** Kernel launches. */ readonly dispatches: number;
  /** Bytes of all inputs and outputs of these launches. */ readonly bytesMoved: number;
  /** Largest sum of all live values after any launch, `resident` ones included; shared values count once [bytes]. */ readonly peakBytes: number;
}

/**
 * Counts the kernel launches of `work` on the active backend. A kernel that is put together from others (the composed forms of our
 * operations) counts as these others. Its own slow-down makes the times of `work` worthless.
 */
export async function countTraffic(work: () => Promise<void>, resident: Iterable<tf.Tensor>): Promise<KernelTraffic> {
  const live = new Map<object, number>();
  for (const tensor of resident) live.set(tensor.dataId, bytesOf(tensor));
  let [dispatches, bytesMoved, peakBytes] = [0, 0, 0];
  const stop = listenToKernels({
    end: ({ isComposed, bytes, outputs }) => {
      if (!isComposed) dispatches++;
      bytesMoved += bytes;
      for (const tensor of outputs) live.set(tensor.dataId, bytesOf(tensor));
      peakBytes = Math.max(peakBytes, liveBytes(live));
    },
  });
  try {
    await work();
  } finally {
    stop();
  }
  return { dispatches, bytesMoved, peakBytes };
}

/** Forgets what has been freed. */
function liveBytes(live: Map<object, number>): number {
  let bytes = 0;
  for (const [dataId, size] of live) {
    if (tf.backend().refCount(dataId) > 0) bytes += size;
    else live.delete(dataId);
  }
  return bytes;
}
