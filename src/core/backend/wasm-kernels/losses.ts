import type { KernelConfig, NamedAttrMap, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';

import { ShapeError } from '../../errors.js';
import { expectShape, extents, inputOf } from '../kernel-tensors.js';
import type { KernelHeap } from './heap.js';

/** `BispikCrossEntropy` and `BispikSoftTarget`: loss and gradient of each row of logits in one pass. */
export function lossKernels(heap: KernelHeap): KernelConfig[] {
  return [
    { kernelName: 'BispikCrossEntropy', backendName: 'wasm', kernelFunc: ({ inputs }) => crossEntropy(heap, inputs) },
    { kernelName: 'BispikSoftTarget', backendName: 'wasm', kernelFunc: ({ inputs, attrs }) => softTarget(heap, inputs, attrs) },
  ];
}

function crossEntropy(heap: KernelHeap, inputs: NamedTensorInfoMap): TensorInfo[] {
  const [logits, labels] = [inputOf(inputs, 'logits'), inputOf(inputs, 'labels')];
  const [rows = 0, vocabulary = 0] = extents(logits, 2, 'logits');
  if (labels.dtype !== 'int32' || extents(labels, 1, 'labels')[0] !== rows) {
    throw new ShapeError(`labels are ${labels.dtype} [${labels.shape.join(', ')}]; int32 [${rows}] was expected`);
  }
  const outputs = [heap.output([rows]), heap.output([rows, vocabulary])];
  heap.call.crossEntropy(...[logits, labels, ...outputs].map(heap.address), rows, vocabulary);
  return outputs;
}

function softTarget(heap: KernelHeap, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): TensorInfo[] {
  const [student, teacher] = [inputOf(inputs, 'student'), inputOf(inputs, 'teacher')];
  const [rows = 0, vocabulary = 0] = extents(student, 2, 'student');
  expectShape(teacher, [rows, vocabulary], 'teacher');
  const outputs = [heap.output([rows]), heap.output([rows, vocabulary])];
  heap.withScratch(4 * vocabulary, (scratch) => {
    const tensors = [student, teacher, ...outputs].map(heap.address);
    heap.call.softTarget(...tensors, rows, vocabulary, Number(attrs?.['temperature']), scratch);
  });
  return outputs;
}
