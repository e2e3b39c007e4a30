import type { KernelConfig, NamedAttrMap, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';

import { expectShape, inputOf, sizeOf } from '../kernel-tensors.js';
import type { KernelHeap } from './heap.js';

/** `BispikAdamStep`: one AdamW update (Loshchilov & Hutter, 2019) of a parameter and its two moments in one pass. */
export function adamKernels(heap: KernelHeap): KernelConfig[] {
  return [{ kernelName: 'BispikAdamStep', backendName: 'wasm', kernelFunc: ({ inputs, attrs }) => adamStep(heap, inputs, attrs) }];
}

function adamStep(heap: KernelHeap, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): TensorInfo[] {
  const tensors = ['p', 'g', 'm', 'v'].map((name) => inputOf(inputs, name));
  const shape = inputOf(inputs, 'p').shape;
  tensors.forEach((tensor, i) => expectShape(tensor, shape, 'pgmv'.charAt(i)));
  const value = (name: string): number => Number(attrs?.[name]);
  const [beta1, beta2, step, learningRate] = [value('beta1'), value('beta2'), value('step'), value('learningRate')];
  const outputs = [heap.output(shape), heap.output(shape), heap.output(shape)];
  heap.call.adamStep(
    ...[...tensors, ...outputs].map(heap.address), sizeOf(shape),
    value('gradScale'), beta1, 1 - beta1, beta2, 1 - beta2,
    learningRate / (1 - beta1 ** step), 1 / Math.sqrt(1 - beta2 ** step), value('epsilon'), learningRate * value('weightDecay'),
  );
  return outputs;
}
