import type { KernelConfig, KernelFunc, TensorInfo } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';

import { expectShape, inputOf, sizeOf } from '../kernel-tensors.js';
import { runCut } from './cut.js';
import type { GpuDispatcher, GpuKernel } from './dispatch.js';
import { spreadGroups } from './dispatch.js';
import { GROUP, MAIN, overGroup, sumOverRows } from './sums.js';

/**
 * `Sum` and `Mean` of a float32 tensor, over one run of adjacent axes after the other. The standard ones transpose first where the axes are not the last, and give each
 * sum to one workgroup, however long it is. And `BispikSquaredError`.
 */
export function reduceKernels(gpu: GpuDispatcher): KernelConfig[] {
  const sums = (['Sum', 'Mean'] as const).map((kernelName) => {
    const standard = tf.getKernel(kernelName, 'webgpu')?.kernelFunc;
    if (standard === undefined) throw new Error(`the webgpu backend has no ${kernelName}`);
    return { kernelName, backendName: 'webgpu', kernelFunc: reduction(gpu, standard, kernelName === 'Mean' ? (count) => 1 / count : () => 1) };
  });
  return [...sums, {
    kernelName: 'BispikSquaredError', backendName: 'webgpu',
    kernelFunc: ({ inputs, attrs }) => squaredError(gpu, [inputOf(inputs, 'x'), inputOf(inputs, 'target')], Number(attrs?.['factor'])),
  }];
}

/** Numbers that a workgroup takes. */
const RUN = 16 * GROUP;

const SQUARED_ERROR: GpuKernel = {
  name: 'BispikSquaredError',
  tensors: [['x', 'read', 'f32'], ['expected', 'read', 'f32'], ['difference', 'read_write', 'f32'], ['sums', 'read_write', 'f32']],
  uniforms: [['count', 'u32'], ['groups', 'u32']],
  code: `${overGroup('total', 'f32')}
${MAIN}
  if (group >= uniforms.groups) { return; }
  let end = min(uniforms.count, (group + 1u) * ${RUN}u);
  var sum = 0.0;
  for (var i = group * ${RUN}u + local; i < end; i += ${GROUP}u) {
    let d = x[i] - expected[i];
    difference[i] = d;
    sum += d * d;
  }
  sum = total(sum, local);
  if (local == 0u) { sums[group] = sum; }
}`,
};

/** factor·Σ(x − target)² as a scalar, and x − target. */
function squaredError(gpu: GpuDispatcher, [x, target]: readonly [TensorInfo, TensorInfo], factor: number): TensorInfo[] {
  expectShape(x, x.shape, 'x');
  expectShape(target, x.shape, 'target');
  const count = sizeOf(x.shape);
  const groups = Math.max(1, Math.ceil(count / RUN));
  const [difference, sums] = [gpu.makeOutput(x.shape), gpu.makeOutput([groups])];
  runCut(gpu, SQUARED_ERROR, {
    tensors: [x, target, difference, sums], units: groups, layouts: [[1, RUN], [1, RUN], [1, RUN], [1, 1]],
    plan: (own, first) => ({ uniforms: [Math.min(count - first * RUN, own * RUN), own], workgroups: spreadGroups(own) }),
  });
  const error = sumOverRows(gpu, sums, { outer: 1, rows: groups, width: 1, shape: [], factor });
  gpu.release(sums);
  return [error, difference];
}

function reduction(gpu: GpuDispatcher, standard: KernelFunc, factorOf: (count: number) => number): KernelFunc {
  return (call) => {
    const x = inputOf(call.inputs, 'x');
    const axes = [...tf.util.parseAxisParam((call.attrs?.['axis'] ?? null) as number | number[], x.shape)].sort((p, q) => p - q);
    if (x.dtype !== 'float32' || sizeOf(x.shape) === 0 || axes.length === 0) return standard(call);
    const kept = x.shape.flatMap((extent, axis) => (!axes.includes(axis) ? [extent] : call.attrs?.['keepDims'] === true ? [1] : []));
    const sum = adjacent(axes).reduceRight((from, [first, last]) => {
      const [outer, count, inner] = [from.shape.slice(0, first), from.shape.slice(first, last + 1), from.shape.slice(last + 1)];
      const rows = sizeOf(count);
      const some = sumOverRows(gpu, from, { outer: sizeOf(outer), rows, width: sizeOf(inner), shape: [...outer, ...inner], factor: factorOf(rows) });
      if (from !== x) gpu.release(from);
      return some;
    }, x);
    return { ...sum, shape: kept };
  };
}

/** Ascending axes as runs of neighbours. */
function adjacent(axes: readonly number[]): [first: number, last: number][] {
  const runs: [first: number, last: number][] = [];
  for (const axis of axes) {
    const run = runs.at(-1);
    if (run?.[1] === axis - 1) run[1] = axis;
    else runs.push([axis, axis]);
  }
  return runs;
}
