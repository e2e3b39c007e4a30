import type { KernelConfig, NamedAttrMap, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';

import { addWriteGradTensors, addWriteTensors } from '../residual-tensors.js';
import type { KernelHeap } from './heap.js';

/** `BispikAddWrite`, a residual stream with what is written to it and its mean over time, and its gradient, one pass each. */
export function residualKernels(heap: KernelHeap): KernelConfig[] {
  return [
    { kernelName: 'BispikAddWrite', backendName: 'wasm', kernelFunc: ({ inputs }) => forward(heap, inputs) },
    { kernelName: 'BispikAddWriteGrad', backendName: 'wasm', kernelFunc: ({ inputs, attrs }) => backward(heap, inputs, attrs) },
  ];
}

function forward(heap: KernelHeap, inputs: NamedTensorInfoMap): TensorInfo[] {
  const { stream, write, isRepeated, timeSteps, step, count } = addWriteTensors(inputs);
  const outputs = [heap.output(write.shape), heap.output(step)];
  heap.call.addWrite(...[stream, write, ...outputs].map(heap.address), timeSteps, count, isRepeated ? 0 : 4 * count, 1 / timeSteps);
  return outputs;
}

function backward(heap: KernelHeap, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): TensorInfo {
  const { dMean, dOut, timeSteps, step, count } = addWriteGradTensors(inputs, attrs);
  const dx = heap.output([timeSteps, ...step]);
  heap.call.addWriteGrad(dOut === undefined ? 0 : heap.address(dOut), heap.address(dMean), heap.address(dx), timeSteps, count, 1 / timeSteps);
  return dx;
}
