import type { KernelConfig, NamedAttrMap, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';

import { layerNormGradTensors, layerNormTensors } from '../layer-norm-tensors.js';
import type { KernelHeap } from './heap.js';

/** `BispikLayerNorm` and its gradient, one pass over the rows each. */
export function layerNormKernels(heap: KernelHeap): KernelConfig[] {
  return [
    { kernelName: 'BispikLayerNorm', backendName: 'wasm', kernelFunc: ({ inputs, attrs }) => forward(heap, inputs, attrs) },
    { kernelName: 'BispikLayerNormGrad', backendName: 'wasm', kernelFunc: ({ inputs }) => backward(heap, inputs) },
  ];
}

function forward(heap: KernelHeap, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): TensorInfo[] {
  const { given, rows, width } = layerNormTensors(inputs);
  const outputs = [heap.output([rows, width]), heap.output([rows]), heap.output([rows])];
  heap.call.layerNorm(...[...given, ...outputs].map((tensor) => addressOf(heap, tensor)), rows, width, Number(attrs?.['eps']));
  return outputs;
}

function backward(heap: KernelHeap, inputs: NamedTensorInfoMap): TensorInfo[] {
  const { given, hasWeight, rows, width } = layerNormGradTensors(inputs);
  const dx = heap.output([rows, width]);
  const sums = hasWeight ? [heap.output([width]), heap.output([width])] : [];
  heap.call.layerNormGrad(...[...given, dx, sums[0], sums[1]].map((tensor) => addressOf(heap, tensor)), rows, width);
  return [dx, ...sums];
}

/** 0 for what is not there. */
function addressOf(heap: KernelHeap, tensor: TensorInfo | undefined): number {
  return tensor === undefined ? 0 : heap.address(tensor);
}
