import type { KernelConfig, KernelFunc, TensorInfo } from '@tensorflow/tfjs-core';

import { expectShape, inputOf, sizeOf } from '../kernel-tensors.js';
import type { KernelHeap } from './heap.js';
import { standardKernel } from './heap.js';

/**
 * `Exp` with a relative error below 2.5e-7, and `GreaterEqual`, `Less` and `Maximum` of tensors of one shape or with a scalar, all of
 * float32; `BispikScale`, a tensor times a number. (The standard softmax is fast and stays.)
 */
export function elementwiseKernels(heap: KernelHeap): KernelConfig[] {
  return [
    { kernelName: 'Exp', backendName: 'wasm', kernelFunc: exp(heap, standardKernel('Exp')) },
    { kernelName: 'BispikScale', backendName: 'wasm', kernelFunc: ({ inputs, attrs }) => scale(heap, inputOf(inputs, 'x'), Number(attrs?.['factor'])) },
    { kernelName: 'GreaterEqual', backendName: 'wasm', kernelFunc: pairwise(heap, 'GreaterEqual') },
    { kernelName: 'Less', backendName: 'wasm', kernelFunc: pairwise(heap, 'Less') },
    { kernelName: 'Maximum', backendName: 'wasm', kernelFunc: pairwise(heap, 'Maximum') },
  ];
}

function exp(heap: KernelHeap, standard: KernelFunc): KernelFunc {
  return (call) => {
    const x = inputOf(call.inputs, 'x');
    if (x.dtype !== 'float32') return standard(call);
    const out = heap.output(x.shape);
    heap.call.exp(heap.address(x), heap.address(out), sizeOf(x.shape));
    return out;
  };
}

function scale(heap: KernelHeap, x: TensorInfo, factor: number): TensorInfo {
  expectShape(x, x.shape, 'x');
  const out = heap.output(x.shape);
  heap.call.scaleFloats(heap.address(x), heap.address(out), sizeOf(x.shape), factor);
  return out;
}

function pairwise(heap: KernelHeap, name: 'GreaterEqual' | 'Less' | 'Maximum'): KernelFunc {
  const standard = standardKernel(name);
  const kernel = { GreaterEqual: heap.call.greaterEqual, Less: heap.call.less, Maximum: heap.call.maximum }[name];
  return (call) => {
    const [a, b] = [inputOf(call.inputs, 'a'), inputOf(call.inputs, 'b')];
    const scalar = sizeOf(b.shape) === 1 && b.shape.length <= a.shape.length;
    if (a.dtype !== 'float32' || b.dtype !== 'float32' || !(scalar || sameShape(a, b))) return standard(call);
    const out = heap.output(a.shape, name === 'Maximum' ? 'float32' : 'bool');
    kernel(...[a, b, out].map(heap.address), sizeOf(a.shape), Number(scalar));
    return out;
  };
}

function sameShape(a: TensorInfo, b: TensorInfo): boolean {
  return a.shape.length === b.shape.length && a.shape.every((extent, i) => extent === b.shape[i]);
}
