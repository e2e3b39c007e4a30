import type { KernelConfig, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';

import { expectShape, extents, inputOf } from '../kernel-tensors.js';
import type { KernelHeap } from './heap.js';

/** `BispikReluMatMul`: max(x, 0)·w + b of x (M, C), w (C, N) and b (N), which leaves out what is 0; the same bits as `Relu` and `_FusedMatMul`. */
export function reluMatMulKernels(heap: KernelHeap): KernelConfig[] {
  return [{ kernelName: 'BispikReluMatMul', backendName: 'wasm', kernelFunc: ({ inputs }) => reluMatMul(heap, inputs) }];
}

function reluMatMul(heap: KernelHeap, inputs: NamedTensorInfoMap): TensorInfo {
  const [x, w, b] = [inputOf(inputs, 'x'), inputOf(inputs, 'w'), inputOf(inputs, 'b')];
  const [rows = 0, width = 0] = extents(x, 2, 'x');
  const outputs = extents(w, 2, 'w')[1] ?? 0;
  expectShape(w, [width, outputs], 'w');
  expectShape(b, [outputs], 'b');
  const y = heap.output([rows, outputs]);
  heap.withScratch(heap.call.reluMatMulScratchBytes(width, outputs), (scratch) => {
    heap.call.reluMatMul(...[x, w, b, y].map(heap.address), rows, width, outputs, scratch);
  });
  return y;
}
