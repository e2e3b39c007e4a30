import type { KernelConfig, KernelFunc, TensorInfo } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';

import { inputOf, sizeOf } from '../kernel-tensors.js';
import { makeInParts } from './cut-kernels.js';
import type { Cut } from './cut.js';
import { copyOfPart, runCut, spansOf } from './cut.js';
import type { GpuDispatcher, GpuKernel } from './dispatch.js';
import { spreadGroups } from './dispatch.js';
import { GROUP, MAIN } from './sums.js';

/**
 * `GatherV2` of rows and its gradient, `UnsortedSegmentSum`, of float32 tables of any size. The standard sum adds with atomic operations, in whatever order
 * the device runs them; here every row adds up its terms in theirs.
 */
export function gatherKernels(gpu: GpuDispatcher): KernelConfig[] {
  return [
    { kernelName: 'GatherV2', backendName: 'webgpu', kernelFunc: gather(gpu, standardKernel('GatherV2')) },
    { kernelName: 'UnsortedSegmentSum', backendName: 'webgpu', kernelFunc: segmentSum(gpu, standardKernel('UnsortedSegmentSum')) },
  ];
}

function standardKernel(name: string): KernelFunc {
  return tf.getKernel(name, 'webgpu').kernelFunc;
}

/** Rows of a stretch of the table; the first stretch also writes the zeros of ids that no row has. */
const GATHER: GpuKernel = {
  name: 'BispikGather', tensors: [['table', 'read', 'f32'], ['ids', 'read', 'i32'], ['out', 'read_write', 'f32']],
  uniforms: [['count', 'u32'], ['width', 'u32'], ['first', 'i32'], ['rows', 'i32'], ['allRows', 'i32']],
  code: `${MAIN}
  let i = group * ${GROUP}u + local;
  if (i >= uniforms.count) { return; }
  let id = ids[i / uniforms.width];
  let row = id - uniforms.first;
  if (row >= 0 && row < uniforms.rows) { out[i] = table[u32(row) * uniforms.width + i % uniforms.width]; }
  else if (uniforms.first == 0 && (id < 0 || id >= uniforms.allRows)) { out[i] = 0.0; }
}`,
};

function gather(gpu: GpuDispatcher, standard: KernelFunc): KernelFunc {
  return (call) => {
    const [x, indices] = [inputOf(call.inputs, 'x'), inputOf(call.inputs, 'indices')];
    const [rows = 0, ...rest] = x.shape;
    const isOfRows = x.shape.length > 0 && tf.util.parseAxisParam(call.attrs?.['axis'] as number, x.shape)[0] === 0 && Number(call.attrs?.['batchDims'] ?? 0) === 0;
    const [width, count] = [sizeOf(rest), sizeOf(indices.shape)];
    if (!isOfRows || x.dtype !== 'float32' || indices.dtype !== 'int32' || rows * width * count === 0) return standard(call);
    const inputs = { ids: { ...indices, shape: [count] } };
    const found = makeInParts(gpu, { name: GATHER.name, shape: [count, width], axis: 0, inputs, axes: { ids: 0 } }, ({ ids }, some) => {
      const out = gpu.makeOutput([some, width]);
      runCut(gpu, GATHER, {
        tensors: [x, ids as TensorInfo, out], units: rows, layouts: [[1, width], null, null],
        plan: (own, first) => ({ uniforms: [some * width, width, first, own, rows], workgroups: spreadGroups(Math.ceil(some * width / GROUP)) }),
      });
      return out;
    });
    return { ...found, shape: [...indices.shape, ...rest] };
  };
}

/** A workgroup per row finds the terms of its segment 256 at a time, and every invocation adds its columns of each. */
const segmentKernel = (columns: number): GpuKernel => ({
  name: 'BispikSegmentSum', tensors: [['x', 'read', 'f32'], ['ids', 'read', 'i32'], ['out', 'read_write', 'f32']],
  uniforms: [['rows', 'u32'], ['width', 'u32'], ['count', 'u32'], ['first', 'i32'], ['isResumed', 'u32']],
  code: `var<workgroup> found: array<atomic<u32>, ${GROUP / 32}>;
${MAIN}
  if (group >= uniforms.rows) { return; }
  let segment = i32(group) + uniforms.first;
  var sums: array<f32, ${columns}>;
  if (uniforms.isResumed != 0u) {
    for (var k = 0u; k < ${columns}u; k++) { sums[k] = out[group * uniforms.width + min(k * ${GROUP}u + local, uniforms.width - 1u)]; }
  }
  for (var start = 0u; start < uniforms.count; start += ${GROUP}u) {
    if (local < ${GROUP / 32}u) { atomicStore(&found[local], 0u); }
    workgroupBarrier();
    if (start + local < uniforms.count && ids[min(start + local, uniforms.count - 1u)] == segment) { atomicOr(&found[local / 32u], 1u << (local % 32u)); }
    workgroupBarrier();
    for (var word = 0u; word < ${GROUP / 32}u; word++) {
      for (var left = atomicLoad(&found[word]); left != 0u; left &= left - 1u) {
        let at = (start + 32u * word + firstTrailingBit(left)) * uniforms.width;
        for (var k = 0u; k < ${columns}u; k++) { sums[k] += x[at + min(k * ${GROUP}u + local, uniforms.width - 1u)]; }
      }
    }
    workgroupBarrier();
  }
  for (var k = 0u; k < ${columns}u; k++) {
    let c = k * ${GROUP}u + local;
    if (c < uniforms.width) { out[group * uniforms.width + c] = sums[k]; }
  }
}`,
});

/** Columns that an invocation has room for. */
const MOST_COLUMNS = 64;

function segmentSum(gpu: GpuDispatcher, standard: KernelFunc): KernelFunc {
  return (call) => {
    const [x, ids] = [inputOf(call.inputs, 'x'), inputOf(call.inputs, 'segmentIds')];
    const [count = 0, ...rest] = x.shape;
    const [width, segments] = [sizeOf(rest), Number(call.attrs?.['numSegments'])];
    const columns = Math.ceil(width / GROUP);
    if (x.dtype !== 'float32' || ids.dtype !== 'int32' || width * count * segments === 0 || columns > MOST_COLUMNS) return standard(call);
    const out = gpu.makeOutput([segments, ...rest]);
    const kernel = segmentKernel(columns);
    const cuts: readonly [Cut, Cut] = [{ tensor: x, layout: [1, width] }, { tensor: ids, layout: [1, 1] }];
    for (const [start, end] of spansOf(gpu, { name: kernel.name, units: count, cuts })) {
      const isWhole = end - start === count;
      const terms = isWhole ? [x, ids] : cuts.map((cut) => copyOfPart(gpu, cut, [start, end]));
      runCut(gpu, kernel, {
        tensors: [...terms, out], units: segments, layouts: [null, null, [1, width]],
        plan: (own, first) => ({ uniforms: [own, width, end - start, first, Number(start > 0)], workgroups: spreadGroups(own) }),
      });
      if (!isWhole) terms.forEach((term) => { gpu.release(term); });
    }
    return out;
  };
}
