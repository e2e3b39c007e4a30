import type { NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';

import type { GpuDispatcher } from '../../src/core/backend/webgpu-kernels/dispatch.js';

/** What kernels would do on a device. */
export interface CountedRuns {
  readonly dispatches: number;
  /** Bytes of every tensor bound by every run, each once, however often it is read. */ readonly bytesMoved: number;
  /** Most bytes of tensors made and not yet released, results included, at any time. */ readonly peakBytes: number;
  /** Largest tensor made [bytes]. */ readonly largestBytes: number;
}

/** A tensor that is nowhere. */
export function absentTensor(shape: readonly number[], dtype: 'float32' | 'int32' = 'float32'): TensorInfo {
  return { dataId: {}, shape: [...shape], dtype };
}

/** Bytes of a tensor of four-byte numbers. */
export const bytesOf = ({ shape }: TensorInfo): number => shape.reduce((product, extent) => product * extent, 4);

/** Lets kernels of ours record their runs on no device at all, for shapes of any size. */
export function countRuns(work: (gpu: GpuDispatcher) => void): CountedRuns {
  const counts = { dispatches: 0, bytesMoved: 0, peakBytes: 0, largestBytes: 0 };
  let live = 0;
  work({
    get backend(): never { throw new Error('kernels that are counted run on no backend'); },
    makeOutput: (shape, dtype = 'float32') => {
      const made = absentTensor(shape, dtype);
      live += bytesOf(made);
      counts.peakBytes = Math.max(counts.peakBytes, live);
      counts.largestBytes = Math.max(counts.largestBytes, bytesOf(made));
      return made;
    },
    overwritten: (tensor) => tensor,
    bindingBytes: Number.POSITIVE_INFINITY,
    release: (tensor) => { live -= bytesOf(tensor); },
    run: (_kernel, { tensors }) => {
      counts.dispatches++;
      for (const bound of tensors) counts.bytesMoved += 'tensor' in bound ? bound.sizeBytes : bytesOf(bound);
    },
  });
  return counts;
}

/** Sizes of aligned attention, the teacher's heads like the student's. */
export interface AlignedSizes { readonly T: number; readonly B: number; readonly L: number; readonly H: number; readonly K: number }

/** Inputs and attributes of one layer's forward and backward pass with the loss that aligns it; `forward` gives the outputs of the forward pass. */
export function alignedLayer({ T, B, L, H, K }: AlignedSizes): { inputs: NamedTensorInfoMap; attrs: Record<string, unknown>; gradients: (forward: readonly TensorInfo[]) => NamedTensorInfoMap } {
  const D = H * K;
  const teacher = { teacherQuery: absentTensor([B * L, D]), teacherKey: absentTensor([B * L, D]) };
  const learned = { gain: absentTensor([H]), distanceBias: absentTensor([H, L]) };
  return {
    inputs: { qkv: absentTensor([T, B, L, 3 * D]), ...learned, ...teacher },
    attrs: {
      timeSteps: T, decay: 0.9, threshold: 1, reset: 'soft', surrogate: 'atan', alpha: 2, detachReset: true,
      heads: H, teacherHeads: H, headMap: Array.from({ length: H }, (_, h) => h), gamma: 0.5, form: 'raw',
    },
    gradients: ([values, counts, loss, bits, softmax, rowTerms]) => ({
      dValues: values as TensorInfo, dCounts: counts as TensorInfo, dLoss: loss as TensorInfo, bits: bits as TensorInfo, softmax: softmax as TensorInfo, rowTerms: rowTerms as TensorInfo,
      ...learned, ...teacher,
    }),
  };
}
