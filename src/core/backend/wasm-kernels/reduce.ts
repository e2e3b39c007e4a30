import type { KernelConfig, KernelFunc, TensorInfo } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';

import { expectShape, inputOf, sizeOf } from '../kernel-tensors.js';
import type { KernelHeap } from './heap.js';
import { standardKernel } from './heap.js';

/** `Sum` and `Mean` over adjacent axes of a float32 tensor, `UnsortedSegmentSum`, which the standard backend lacks, `BispikSquaredError`, `BispikSquareSums` and `BispikAddInto`. */
export function reduceKernels(heap: KernelHeap): KernelConfig[] {
  return [
    { kernelName: 'Sum', backendName: 'wasm', kernelFunc: reduction(heap, standardKernel('Sum'), () => 1) },
    { kernelName: 'Mean', backendName: 'wasm', kernelFunc: reduction(heap, standardKernel('Mean'), (count) => count) },
    {
      kernelName: 'UnsortedSegmentSum', backendName: 'wasm',
      kernelFunc: ({ inputs, attrs }) => segmentSum(heap, [inputOf(inputs, 'x'), inputOf(inputs, 'segmentIds')], Number(attrs?.['numSegments'])),
    },
    {
      kernelName: 'BispikSquaredError', backendName: 'wasm',
      kernelFunc: ({ inputs, attrs }) => squaredError(heap, [inputOf(inputs, 'x'), inputOf(inputs, 'target')], Number(attrs?.['factor'])),
    },
    { kernelName: 'BispikSquareSums', backendName: 'wasm', kernelFunc: ({ inputs }) => squareSums(heap, Object.values(inputs) as TensorInfo[]) },
    { kernelName: 'BispikAddInto', backendName: 'wasm', kernelFunc: ({ inputs }) => addInto(heap, Object.values(inputs) as TensorInfo[]) },
  ];
}

function reduction(heap: KernelHeap, standard: KernelFunc, divisorOf: (count: number) => number): KernelFunc {
  return (call) => {
    const x = inputOf(call.inputs, 'x');
    const axes = [...tf.util.parseAxisParam((call.attrs?.['axis'] ?? null) as number | number[], x.shape)].sort((p, q) => p - q);
    const [first = 0, last = -1] = [axes[0], axes.at(-1)];
    if (x.dtype !== 'float32' || axes.length === 0 || last - first !== axes.length - 1) return standard(call);
    const [outer, count, inner] = [x.shape.slice(0, first), x.shape.slice(first, last + 1), x.shape.slice(last + 1)];
    const kept = call.attrs?.['keepDims'] === true ? count.map(() => 1) : [];
    const out = heap.output([...outer, ...kept, ...inner]);
    const sizes = [sizeOf(outer), sizeOf(count), sizeOf(inner)];
    heap.call.sumMiddle(heap.address(x), heap.address(out), ...sizes, divisorOf(sizeOf(count)));
    return out;
  };
}

/** factor·Σ(x − target)² as a scalar, and x − target. */
function squaredError(heap: KernelHeap, [x, target]: readonly [TensorInfo, TensorInfo], factor: number): TensorInfo[] {
  expectShape(x, x.shape, 'x');
  expectShape(target, x.shape, 'target');
  const [error, difference] = [heap.output([]), heap.output(x.shape)];
  heap.call.squaredError(...[x, target, error, difference].map(heap.address), sizeOf(x.shape), factor);
  return [error, difference];
}

/** Σx² of every tensor in float64, which no float32 can make overflow; the eight bytes of each are handed out as two float32. */
function squareSums(heap: KernelHeap, tensors: readonly TensorInfo[]): TensorInfo {
  const out = heap.output([tensors.length, 2]);
  tensors.forEach((x, i) => {
    expectShape(x, x.shape, `x${i}`);
    heap.call.squareSum(heap.address(x), heap.address(out) + 8 * i, sizeOf(x.shape));
  });
  return out;
}

/** Of every pair of tensors the second is added to the first, in place: whoever calls it has seen to it that nobody else owns that one. No outputs. */
function addInto(heap: KernelHeap, tensors: readonly TensorInfo[]): TensorInfo[] {
  for (let i = 0; i + 1 < tensors.length; i += 2) {
    const [into, from] = tensors.slice(i, i + 2) as [TensorInfo, TensorInfo];
    expectShape(into, into.shape, `into${i / 2}`);
    expectShape(from, into.shape, `from${i / 2}`);
    heap.call.addInto(heap.address(into), heap.address(from), sizeOf(into.shape));
  }
  return [];
}

/** Rows of x (S…, C…) added up by the segment ids (S…), in row order; ids outside the range are dropped. */
function segmentSum(heap: KernelHeap, [x, ids]: readonly [TensorInfo, TensorInfo], segments: number): TensorInfo {
  if (x.dtype !== 'float32' || ids.dtype !== 'int32') throw new Error(`UnsortedSegmentSum of ${x.dtype} by ${ids.dtype} is not supported`);
  const inner = x.shape.slice(ids.shape.length);
  const out = heap.output([segments, ...inner]);
  heap.call.segmentSum(heap.address(x), heap.address(ids), heap.address(out), sizeOf(ids.shape), sizeOf(inner), segments);
  return out;
}
