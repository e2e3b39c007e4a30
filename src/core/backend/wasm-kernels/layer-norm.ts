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
  heap.call.layerNorm(...[...given, ...outputs].map(heap.address), rows, width, Number(attrs?.['eps']));
  return outputs;
}

function backward(heap: KernelHeap, inputs: NamedTensorInfoMap): TensorInfo[] {
  const { given, rows, width } = layerNormGradTensors(inputs);
  const outputs = [heap.output([rows, width]), heap.output([width]), heap.output([width])];
  heap.call.layerNormGrad(...[...given, ...outputs].map(heap.address), rows, width);
  return outputs;
}
