import type { KernelConfig } from '@tensorflow/tfjs-core';

import { expectShape, extents, inputOf } from '../kernel-tensors.js';
import type { KernelHeap } from './heap.js';

/** `BispikSpikeMatMul` and the gradient of its weights: both touch only the rows of the inputs that fired. */
export function spikeMatMulKernels(heap: KernelHeap): KernelConfig[] {
  return [
    {
      kernelName: 'BispikSpikeMatMul', backendName: 'wasm',
      kernelFunc: ({ inputs }) => {
        const [s, w, b] = [inputOf(inputs, 's'), inputOf(inputs, 'w'), inputOf(inputs, 'b')];
        const [rows = 0, width = 0] = extents(s, 2, 's');
        const outputs = extents(w, 2, 'w')[1] ?? 0;
        expectShape(w, [width, outputs], 'w');
        expectShape(b, [outputs], 'b');
        const y = heap.output([rows, outputs]);
        heap.withScratch(heap.call.spikeMatMulScratchBytes(width, outputs), (scratch) => {
          heap.call.spikeMatMul(...[s, w, b, y].map(heap.address), rows, width, outputs, scratch);
        });
        return y;
      },
    },
    {
      kernelName: 'BispikSpikeMatMulGradW', backendName: 'wasm',
      kernelFunc: ({ inputs }) => {
        const [s, dy] = [inputOf(inputs, 's'), inputOf(inputs, 'dy')];
        const [rows = 0, width = 0] = extents(s, 2, 's');
        const outputs = extents(dy, 2, 'dy')[1] ?? 0;
        expectShape(dy, [rows, outputs], 'dy');
        const [dw, db] = [heap.output([width, outputs]), heap.output([outputs])];
        heap.withScratch(heap.call.spikeMatMulGradWScratchBytes(width), (scratch) => {
          heap.call.spikeMatMulGradW(...[s, dy, dw].map(heap.address), rows, width, outputs, scratch);
        });
        heap.call.sumMiddle(heap.address(dy), heap.address(db), 1, rows, outputs, 1);
        return [dw, db];
      },
    },
  ];
}
