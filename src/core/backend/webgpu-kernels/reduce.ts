import type { KernelConfig, KernelFunc } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';

import { inputOf, sizeOf } from '../kernel-tensors.js';
import type { GpuDispatcher } from './dispatch.js';
import { sumOverRows } from './sums.js';

/**
 * `Sum` and `Mean` over adjacent axes of a float32 tensor. The standard ones transpose first where the axes are not the last, and give each sum
 * to one workgroup, however long it is.
 */
export function reduceKernels(gpu: GpuDispatcher): KernelConfig[] {
  return (['Sum', 'Mean'] as const).map((kernelName) => {
    const standard = tf.getKernel(kernelName, 'webgpu')?.kernelFunc;
    if (standard === undefined) throw new Error(`the webgpu backend has no ${kernelName}`);
    return { kernelName, backendName: 'webgpu', kernelFunc: reduction(gpu, standard, kernelName === 'Mean' ? (count) => 1 / count : () => 1) };
  });
}

function reduction(gpu: GpuDispatcher, standard: KernelFunc, factorOf: (count: number) => number): KernelFunc {
  return (call) => {
    const x = inputOf(call.inputs, 'x');
    const axes = [...tf.util.parseAxisParam((call.attrs?.['axis'] ?? null) as number | number[], x.shape)].sort((p, q) => p - q);
    const [first = 0, last = -1] = [axes[0], axes.at(-1)];
    if (x.dtype !== 'float32' || sizeOf(x.shape) === 0 || axes.length === 0 || last - first !== axes.length - 1) return standard(call);
    const [outer, count, inner] = [x.shape.slice(0, first), x.shape.slice(first, last + 1), x.shape.slice(last + 1)];
    const kept = call.attrs?.['keepDims'] === true ? count.map(() => 1) : [];
    const rows = sizeOf(count);
    return sumOverRows(gpu, x, { outer: sizeOf(outer), rows, width: sizeOf(inner), shape: [...outer, ...kept, ...inner], factor: factorOf(rows) });
  };
}
