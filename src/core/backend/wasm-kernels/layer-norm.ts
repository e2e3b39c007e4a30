import type { KernelConfig, NamedAttrMap, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';

import { expectShape, extents, inputOf } from '../kernel-tensors.js';
import type { KernelHeap } from './heap.js';

/** `BispikLayerNorm` and its gradient, one pass over the rows each. */
export function layerNormKernels(heap: KernelHeap): KernelConfig[] {
  return [
    { kernelName: 'BispikLayerNorm', backendName: 'wasm', kernelFunc: ({ inputs, attrs }) => forward(heap, inputs, attrs) },
    { kernelName: 'BispikLayerNormGrad', backendName: 'wasm', kernelFunc: ({ inputs }) => backward(heap, inputs) },
  ];
}

function forward(heap: KernelHeap, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): TensorInfo[] {
  const [x, weight, bias] = [inputOf(inputs, 'x'), inputOf(inputs, 'weight'), inputOf(inputs, 'bias')];
  const [rows = 0, width = 0] = extents(x, 2, 'x');
  expectShape(weight, [width], 'weight');
  expectShape(bias, [width], 'bias');
  const outputs = [heap.output([rows, width]), heap.output([rows]), heap.output([rows])];
  heap.call.layerNorm(...[x, weight, bias, ...outputs].map(heap.address), rows, width, Number(attrs?.['eps']));
  return outputs;
}

function backward(heap: KernelHeap, inputs: NamedTensorInfoMap): TensorInfo[] {
  const [dy, x, weight] = [inputOf(inputs, 'dy'), inputOf(inputs, 'x'), inputOf(inputs, 'weight')];
  const [mean, rstd] = [inputOf(inputs, 'mean'), inputOf(inputs, 'rstd')];
  const [rows = 0, width = 0] = extents(x, 2, 'x');
  expectShape(dy, [rows, width], 'dy');
  expectShape(weight, [width], 'weight');
  expectShape(mean, [rows], 'mean');
  expectShape(rstd, [rows], 'rstd');
  const outputs = [heap.output([rows, width]), heap.output([width]), heap.output([width])];
  heap.call.layerNormGrad(...[dy, x, weight, mean, rstd, ...outputs].map(heap.address), rows, width);
  return outputs;
}
