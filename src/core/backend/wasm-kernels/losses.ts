import type { KernelConfig, NamedAttrMap, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';

import { expectLabels, expectShape, extents, inputOf } from '../kernel-tensors.js';
import type { KernelHeap } from './heap.js';

/**
 * Losses of rows of logits. `BispikCrossEntropy`: that and its gradient; `BispikHeadLosses`: it, the divergence from a teacher and the gradient of
 * their weighted sum, which is written over the logits.
 */
export function lossKernels(heap: KernelHeap): KernelConfig[] {
  return [
    { kernelName: 'BispikCrossEntropy', backendName: 'wasm', kernelFunc: ({ inputs }) => crossEntropy(heap, inputs) },
    { kernelName: 'BispikHeadLosses', backendName: 'wasm', kernelFunc: ({ inputs, attrs }) => headLosses(heap, inputs, attrs) },
  ];
}

function crossEntropy(heap: KernelHeap, inputs: NamedTensorInfoMap): TensorInfo[] {
  const logits = inputOf(inputs, 'logits');
  const [rows = 0, vocabulary = 0] = extents(logits, 2, 'logits');
  const labels = inputOf(inputs, 'labels');
  expectLabels(labels, rows);
  const outputs = [heap.output([rows]), heap.output([rows, vocabulary])];
  heap.call.crossEntropy(...[logits, labels, ...outputs].map(heap.address), rows, vocabulary);
  return outputs;
}

function headLosses(heap: KernelHeap, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): TensorInfo[] {
  const [logits, hardSlope, { labels, teacher }] = [inputOf(inputs, 'logits'), inputOf(inputs, 'hardSlope'), inputs];
  const [rows = 0, vocabulary = 0] = extents(logits, 2, 'logits');
  expectShape(hardSlope, [], 'hardSlope');
  if (labels !== undefined) expectLabels(labels, rows);
  if (teacher !== undefined) expectShape(teacher, [rows, vocabulary], 'teacher');
  const losses = [heap.output([rows]), heap.output([rows])];
  const targets = [teacher, labels].map((tensor) => (tensor === undefined ? 0 : heap.address(tensor)));
  heap.withScratch(3 * 4 * vocabulary, (scratch) => {
    const slopes = [Number(attrs?.['temperature']), Number(attrs?.['softSlope']), heap.address(hardSlope)];
    heap.call.headLosses(heap.address(logits), ...targets, ...losses.map(heap.address), rows, vocabulary, ...slopes, scratch);
  });
  return [...losses, heap.share(logits)];
}
