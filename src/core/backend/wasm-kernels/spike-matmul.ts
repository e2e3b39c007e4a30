import type { KernelConfig, NamedAttrMap, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';

import { expectShape, extents, inputOf } from '../kernel-tensors.js';
import { packedExtents, packedWords } from '../packed-spikes.js';
import type { KernelHeap } from './heap.js';

/**
 * `BispikPackSpikes` and the products with the bits it returns, which touch only the rows of the inputs that fired: `BispikSpikeMatMul` and
 * `BispikSpikeMatMulGradW` take these and the attribute `inputs`.
 */
export function spikeMatMulKernels(heap: KernelHeap): KernelConfig[] {
  return [
    { kernelName: 'BispikPackSpikes', backendName: 'wasm', kernelFunc: ({ inputs }) => packSpikes(heap, inputOf(inputs, 's')) },
    { kernelName: 'BispikSpikeMatMul', backendName: 'wasm', kernelFunc: ({ inputs, attrs }) => forward(heap, inputs, attrs) },
    { kernelName: 'BispikSpikeMatMulGradW', backendName: 'wasm', kernelFunc: ({ inputs, attrs }) => backward(heap, inputs, attrs) },
  ];
}

function packSpikes(heap: KernelHeap, s: TensorInfo): TensorInfo {
  const [rows = 0, inputs = 0] = extents(s, 2, 's');
  expectShape(s, [rows, inputs], 's');
  const bits = heap.output([rows, packedWords(inputs)], 'int32');
  heap.call.packSpikes(heap.address(s), heap.address(bits), rows, inputs);
  return bits;
}

/** y = s·w + b; the bias comes first. */
function forward(heap: KernelHeap, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): TensorInfo {
  const [s, w, b] = [inputOf(inputs, 's'), inputOf(inputs, 'w'), inputOf(inputs, 'b')];
  const width = Number(attrs?.['inputs']);
  const [rows] = packedExtents(s, width);
  const outputs = extents(w, 2, 'w')[1] ?? 0;
  expectShape(w, [width, outputs], 'w');
  expectShape(b, [outputs], 'b');
  const y = heap.output([rows, outputs]);
  heap.withScratch(heap.call.spikeMatMulScratchBytes(width, outputs), (scratch) => {
    heap.call.spikeMatMul(...[s, w, b, y].map(heap.address), rows, width, outputs, scratch);
  });
  return y;
}

/** dw = sᵀ·dy and db, the sum of the rows of dy. */
function backward(heap: KernelHeap, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): TensorInfo[] {
  const [s, dy] = [inputOf(inputs, 's'), inputOf(inputs, 'dy')];
  const width = Number(attrs?.['inputs']);
  const [rows] = packedExtents(s, width);
  const outputs = extents(dy, 2, 'dy')[1] ?? 0;
  expectShape(dy, [rows, outputs], 'dy');
  const [dw, db] = [heap.output([width, outputs]), heap.output([outputs])];
  heap.withScratch(heap.call.spikeMatMulGradWScratchBytes(width), (scratch) => {
    heap.call.spikeMatMulGradW(...[s, dy, dw].map(heap.address), rows, width, outputs, scratch);
  });
  heap.call.sumMiddle(heap.address(dy), heap.address(db), 1, rows, outputs, 1);
  return [dw, db];
}
