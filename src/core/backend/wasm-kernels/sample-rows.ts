import type { KernelConfig, NamedAttrMap, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';

import { expectShape, extents, inputOf } from '../kernel-tensors.js';
import type { KernelHeap } from './heap.js';

/**
 * `BispikSampleRows`: a sparse sample of softmax(logits/temperature) of every row of logits (M, V): ids (M, slots), weights in units of 1/65535 (M, slots), and
 * entropies (M). `uniforms` (M, 4): two numbers of [0, 1) a row, each as the sum of two.
 */
export function sampleKernels(heap: KernelHeap): KernelConfig[] {
  return [{ kernelName: 'BispikSampleRows', backendName: 'wasm', kernelFunc: ({ inputs, attrs }) => sampleRows(heap, inputs, attrs) }];
}

function sampleRows(heap: KernelHeap, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): TensorInfo[] {
  const [logits, uniforms] = [inputOf(inputs, 'logits'), inputOf(inputs, 'uniforms')];
  const [rows = 0, vocabulary = 0] = extents(logits, 2, 'logits');
  expectShape(uniforms, [rows, 4], 'uniforms');
  const [slots, temperature] = [Number(attrs?.['slots']), Number(attrs?.['temperature'])];
  const outputs = [heap.output([rows, slots]), heap.output([rows, slots]), heap.output([rows])];
  heap.withScratch(4 * (vocabulary + 4 * slots + 4), (scratch) => {
    heap.call.sampleRows(...[logits, uniforms, ...outputs].map(heap.address), rows, vocabulary, slots, temperature, scratch);
  });
  return outputs;
}
