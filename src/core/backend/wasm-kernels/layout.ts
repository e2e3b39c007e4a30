import type { KernelConfig, KernelFunc, TensorInfo } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';

import { inputOf, sizeOf } from '../kernel-tensors.js';
import type { KernelHeap } from './heap.js';
import { standardKernel } from './heap.js';

/** A run of one axis to be cut out. */
interface Cut { readonly axis: number; readonly start: number; readonly size: number }

/**
 * `GatherV2`, `Tile`, `Slice`, `SplitV`, `Unpack`, `Transpose` and `Identity` of float32: the standard ones copy the whole input
 * for every part, move single values, or copy where sharing is enough.
 */
export function layoutKernels(heap: KernelHeap): KernelConfig[] {
  const kernels: readonly (readonly [string, (standard: KernelFunc) => KernelFunc])[] = [
    ['GatherV2', (standard) => gather(heap, standard)],
    ['Tile', (standard) => tile(heap, standard)],
    ['Slice', (standard) => slice(heap, standard)],
    ['SplitV', (standard) => split(heap, standard)],
    ['Unpack', (standard) => unpack(heap, standard)],
    ['Transpose', (standard) => transpose(heap, standard)],
    ['Identity', (standard) => share(heap, standard)],
  ];
  return kernels.map(([kernelName, replace]) => ({ kernelName, backendName: 'wasm', kernelFunc: replace(standardKernel(kernelName)) }));
}

/** The standard kernel reads outside the tensor when there are batch dimensions, so it is left only what is not float32. */
function gather(heap: KernelHeap, standard: KernelFunc): KernelFunc {
  return (call) => {
    const [x, indices] = [inputOf(call.inputs, 'x'), inputOf(call.inputs, 'indices')];
    const axis = axisOf(call.attrs?.['axis'], x);
    const batchAxes = Number(call.attrs?.['batchDims'] ?? 0);
    if (x.dtype !== 'float32' || indices.dtype !== 'int32') return standard(call);
    const [batch, outer] = [sizeOf(x.shape.slice(0, batchAxes)), sizeOf(x.shape.slice(batchAxes, axis))];
    const [extent, inner] = [x.shape[axis] ?? 0, sizeOf(x.shape.slice(axis + 1))];
    const count = sizeOf(indices.shape.slice(batchAxes));
    const out = heap.output([...x.shape.slice(0, axis), ...indices.shape.slice(batchAxes), ...x.shape.slice(axis + 1)]);
    for (let b = 0; b < batch; b++) {
      const from = [heap.address(x) + 4 * b * outer * extent * inner, heap.address(indices) + 4 * b * count] as const;
      const bad = heap.call.gather(...from, heap.address(out) + 4 * b * outer * count * inner, outer, extent, inner, count);
      if (bad < 0) continue;
      heap.release(out);
      throw new Error(`GatherV2: the index at position ${b * count + bad} is not in [0, ${extent - 1}]`);
    }
    return out;
  };
}

/** One pass per repeated axis, the last one first, so that the runs stay long. */
function tile(heap: KernelHeap, standard: KernelFunc): KernelFunc {
  return (call) => {
    const x = inputOf(call.inputs, 'x');
    const reps = call.attrs?.['reps'] as number[];
    const repeated = reps.flatMap((count, axis) => (count > 1 ? [axis] : [])).reverse();
    if (x.dtype !== 'float32' || repeated.length === 0 || reps.includes(0)) return standard(call);
    return repeated.reduce<TensorInfo>((from, axis) => {
      const repeats = reps[axis] ?? 1;
      const to = heap.output(from.shape.map((extent, i) => (i === axis ? extent * repeats : extent)));
      heap.call.repeatRuns(heap.address(from), heap.address(to), sizeOf(from.shape.slice(0, axis)), sizeOf(from.shape.slice(axis)), repeats);
      if (from !== x) heap.release(from);
      return to;
    }, x);
  };
}

function slice(heap: KernelHeap, standard: KernelFunc): KernelFunc {
  return (call) => {
    const x = inputOf(call.inputs, 'x');
    const [begin = [], size = []] = tf.slice_util.parseSliceParams(x as tf.Tensor, call.attrs?.['begin'] as number[], call.attrs?.['size'] as number[]);
    const cutAxes = x.shape.flatMap((extent, axis) => (size[axis] === extent ? [] : [axis]));
    if (x.dtype !== 'float32' || cutAxes.length > 1) return standard(call);
    const axis = cutAxes[0] ?? 0;
    return cutOut(heap, x, { axis, start: begin[axis] ?? 0, size: size[axis] ?? 1 });
  };
}

function split(heap: KernelHeap, standard: KernelFunc): KernelFunc {
  return (call) => {
    const x = inputOf(call.inputs, 'x');
    if (x.dtype !== 'float32') return standard(call);
    const axis = axisOf(call.attrs?.['axis'], x);
    const sizes = tf.backend_util.prepareSplitSize(x as tf.Tensor, call.attrs?.['numOrSizeSplits'] as number[] | number, axis);
    let start = 0;
    return sizes.map((size) => {
      const part = cutOut(heap, x, { axis, start, size });
      start += size;
      return part;
    });
  };
}

function unpack(heap: KernelHeap, standard: KernelFunc): KernelFunc {
  return (call) => {
    const x = inputOf(call.inputs, 'value');
    if (x.dtype !== 'float32') return standard(call);
    const axis = axisOf(call.attrs?.['axis'], x);
    return Array.from({ length: x.shape[axis] ?? 0 }, (_, start) => {
      const part = cutOut(heap, x, { axis, start, size: 1 });
      return { ...part, shape: part.shape.filter((__, i) => i !== axis) };
    });
  };
}

function cutOut(heap: KernelHeap, x: TensorInfo, { axis, start, size }: Cut): TensorInfo {
  const out = heap.output(x.shape.map((extent, i) => (i === axis ? size : extent)));
  const inner = sizeOf(x.shape.slice(axis + 1));
  const rowBytes = 4 * inner * (x.shape[axis] ?? 1);
  const outer = sizeOf(x.shape.slice(0, axis));
  heap.call.copyRuns(heap.address(x) + 4 * start * inner, rowBytes, heap.address(out), 4 * size * inner, outer, size * inner);
  return out;
}

function transpose(heap: KernelHeap, standard: KernelFunc): KernelFunc {
  return (call) => {
    const x = inputOf(call.inputs, 'x');
    const perm = call.attrs?.['perm'] as number[];
    const rank = x.shape.length;
    const swapsLastTwo = rank >= 2 && perm.every((from, to) => from === (to < rank - 2 ? to : 2 * rank - 3 - to));
    if (x.dtype !== 'float32' || !swapsLastTwo) return standard(call);
    const [batch, [rows = 1, columns = 1]] = [x.shape.slice(0, -2), x.shape.slice(-2)];
    const out = heap.output([...batch, columns, rows]);
    heap.call.transposeMatrices(heap.address(x), heap.address(out), sizeOf(batch), rows, columns);
    return out;
  };
}

/** A tensor never changes, so a clone (every tensor saved for a gradient is one) shares the memory of its original. */
function share(heap: KernelHeap, standard: KernelFunc): KernelFunc {
  return (call) => {
    const x = inputOf(call.inputs, 'x');
    return x.dtype === 'string' ? standard(call) : heap.share(x);
  };
}

function axisOf(axis: unknown, x: TensorInfo): number {
  return tf.util.parseAxisParam((axis ?? 0) as number, x.shape)[0] ?? 0;
}
