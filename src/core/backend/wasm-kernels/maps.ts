import type { KernelConfig, NamedAttrMap, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';

import { expectShape, extents, inputOf } from '../kernel-tensors.js';
import type { KernelHeap } from './heap.js';

/** Causal maps (B, H, L, L), 0 for future keys. `BispikCausalSoftmax`: softmax of every row up to its diagonal; `BispikSoftmaxAttention`: the same between its two products. */
export function mapKernels(heap: KernelHeap): KernelConfig[] {
  return [
    { kernelName: 'BispikCausalSoftmax', backendName: 'wasm', kernelFunc: ({ inputs, attrs }) => causalSoftmax(heap, inputOf(inputs, 'x'), Number(attrs?.['divisor'])) },
    { kernelName: 'BispikSoftmaxAttention', backendName: 'wasm', kernelFunc: ({ inputs, attrs }) => softmaxAttention(heap, inputs, attrs) },
  ];
}

/** Maps and length, as the kernels take them. */
function sizesOf(tensor: TensorInfo, name: string): [maps: number, length: number] {
  const [batch = 0, heads = 0, length = 0] = extents(tensor, 4, name);
  expectShape(tensor, [batch, heads, length, length], name);
  return [batch * heads, length];
}

function causalSoftmax(heap: KernelHeap, x: TensorInfo, divisor: number): TensorInfo {
  const sizes = sizesOf(x, 'x');
  const out = heap.output(x.shape);
  heap.call.causalSoftmax(heap.address(x), heap.address(out), ...sizes, divisor);
  return out;
}

/** Context (B·L, D) and probabilities (B, H, L, L) of query, key and value (B·L, D), in one pass over the queries. */
function softmaxAttention(heap: KernelHeap, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): TensorInfo[] {
  const tensors = ['query', 'key', 'value'].map((name) => inputOf(inputs, name));
  const [batch, length, heads] = ['batch', 'length', 'heads'].map((name) => Number(attrs?.[name])) as [number, number, number];
  const [, width = 0] = extents(inputOf(inputs, 'query'), 2, 'query');
  tensors.forEach((tensor, i) => expectShape(tensor, [batch * length, width], ['query', 'key', 'value'][i] as string));
  const [context, probabilities] = [heap.output([batch * length, width]), heap.output([batch, heads, length, length])];
  heap.withScratch(heap.call.softmaxAttentionScratchBytes(length, width / heads), (scratch) => {
    heap.call.softmaxAttention(...[...tensors, context, probabilities].map(heap.address), batch, length, width, heads, Number(attrs?.['divisor']), scratch);
  });
  return [context, probabilities];
}
