import type { KernelConfig, NamedAttrMap, TensorInfo } from '@tensorflow/tfjs-core';

import { expectShape, sizeOf } from '../kernel-tensors.js';
import type { KernelHeap } from './heap.js';

/**
 * `BispikAdamInPlace`: one AdamW update (Loshchilov & Hutter, 2019) of any number of parameters, written over them and their moments.
 * Inputs: parameter, gradient and both moments of the first, then of the next; `lowerBounds`: what each parameter may not fall below. No outputs.
 * Whoever calls it has seen to it that nobody else owns what is written.
 */
export function adamKernels(heap: KernelHeap): KernelConfig[] {
  return [{ kernelName: 'BispikAdamInPlace', backendName: 'wasm', kernelFunc: ({ inputs, attrs }) => adamInPlace(heap, Object.values(inputs) as TensorInfo[], attrs) }];
}

function adamInPlace(heap: KernelHeap, tensors: readonly TensorInfo[], attrs: NamedAttrMap | undefined): TensorInfo[] {
  const value = (name: string): number => Number(attrs?.[name]);
  const [beta1, beta2, step, learningRate] = [value('beta1'), value('beta2'), value('step'), value('learningRate')];
  const numbers = [
    value('gradScale'), beta1, 1 - beta1, beta2, 1 - beta2,
    learningRate / (1 - beta1 ** step), 1 / Math.sqrt(1 - beta2 ** step), value('epsilon'), learningRate * value('weightDecay'),
  ];
  (attrs?.['lowerBounds'] as number[]).forEach((lowest, i) => {
    const four = tensors.slice(4 * i, 4 * i + 4);
    const shape = four[0]?.shape ?? [];
    four.forEach((tensor, at) => { expectShape(tensor, shape, `${'pgmv'.charAt(at)}${i}`); });
    heap.call.adamStep(...four.map(heap.address), sizeOf(shape), lowest, ...numbers);
  });
  return [];
}
