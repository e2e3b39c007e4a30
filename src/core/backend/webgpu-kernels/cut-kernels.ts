import type { KernelConfig, KernelFunc, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';

import { inputOf, sizeOf } from '../kernel-tensors.js';
import { bytesOf } from './binding-limit.js';
import type { Cut, Layout, Span } from './cut.js';
import { copyOfPart, makeLike, spansOf, writePart } from './cut.js';
import type { GpuDispatcher } from './dispatch.js';

/**
 * Kernels of TensorFlow.js on tensors larger than one binding may be: they run on copies of parts, and their results are copied together. Where everything can be
 * bound they run as ever.
 */

/** A tensor that is computed part by part along an axis. */
export interface PartwiseTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly axis: number;
  readonly inputs: NamedTensorInfoMap;
  /** The same axis in the inputs that have it; each part sees all of the others. */ readonly axes: Readonly<Record<string, number>>;
}

/**
 * The whole tensor from what `run` makes of parts of the inputs, of the same extent along the axis; of the inputs themselves where everything can be bound.
 * @throws BackendError when one index's part is too large.
 */
export function makeInParts(gpu: GpuDispatcher, { name, shape, axis, inputs, axes }: PartwiseTensor, run: (inputs: NamedTensorInfoMap, extent: number) => TensorInfo): TensorInfo {
  const cuts = Object.entries(axes).map(([key, of]) => { const tensor = inputOf(inputs, key); return { key, of, tensor, layout: layoutOf(tensor.shape, of) }; });
  const whole: Cut = { tensor: { dataId: {}, shape: [...shape], dtype: 'float32' }, layout: layoutOf(shape, axis) };
  const spans = spansOf(gpu, { name, units: shape[axis] ?? 1, cuts: [...cuts, whole] });
  if (spans.length === 1) return run(inputs, shape[axis] ?? 1);
  let made: TensorInfo | null = null;
  for (const span of spans) {
    const copies = cuts.map(({ key, of, tensor }) => [key, partAlong(gpu, tensor, { axis: of, span })] as const);
    const some = Object.fromEntries([...Object.entries(inputs), ...copies]);
    const part = run(Array.isArray(inputs) ? Object.values(some) as unknown as NamedTensorInfoMap : some, span[1] - span[0]);
    made ??= makeLike(gpu.backend, part, shape);
    writePart(gpu, part, { tensor: made, layout: whole.layout, first: span[0] });
    for (const done of [part, ...copies.map(([, copy]) => copy)]) gpu.release(done);
  }
  return made as unknown as TensorInfo;
}

function layoutOf(shape: readonly number[], axis: number): Layout {
  return [sizeOf(shape.slice(0, axis)), sizeOf(shape.slice(axis + 1))];
}

/** A copy of some indices of an axis. */
function partAlong(gpu: GpuDispatcher, tensor: TensorInfo, { axis, span }: { readonly axis: number; readonly span: Span }): TensorInfo {
  const copy = copyOfPart(gpu, { tensor, layout: layoutOf(tensor.shape, axis) }, span);
  return { ...copy, shape: tensor.shape.map((extent, i) => (i === axis ? span[1] - span[0] : extent)) };
}

/** Kernels whose every result depends on one element, the same, of each input, repeated where shapes broadcast. */
const ELEMENTWISE = [
  'Abs', 'Add', 'AddN', 'Cast', 'Erf', 'Exp', 'GreaterEqual', 'LessEqual', 'LogicalNot', 'Maximum', 'Minimum', 'Multiply', 'Neg', 'NotEqual', 'Pow', 'RealDiv', 'Relu', 'Round', 'Rsqrt', 'Select', 'Sqrt',
  'Square', 'Sub', 'Tanh', 'ZerosLike',
] as const;

type Wrapped = (gpu: GpuDispatcher, standard: KernelFunc) => KernelFunc;

const WRAPPED: Readonly<Record<string, Wrapped>> = {
  ...Object.fromEntries(ELEMENTWISE.map((name) => [name, elementwise(name)])),
  Tile: tile, Max: maximum, Concat: concat, Slice: slice, SplitV: split, Transpose: transpose,
};

/** The kernels of TensorFlow.js that training and the teacher use, for tensors of any size. */
export function cutKernels(gpu: GpuDispatcher): KernelConfig[] {
  return Object.entries(WRAPPED).map(([kernelName, wrap]) => ({ kernelName, backendName: 'webgpu', kernelFunc: wrap(gpu, tf.getKernel(kernelName, 'webgpu').kernelFunc) }));
}

/** Along the longest axis, which leaves the parts that cannot be cut small. */
function elementwise(name: string): Wrapped {
  return (gpu, standard) => (call) => {
    const tensors = Object.entries(call.inputs) as [string, TensorInfo][];
    const rank = Math.max(...tensors.map(([, { shape }]) => shape.length));
    const extentOf = ({ shape }: TensorInfo, axis: number): number => shape[axis - rank + shape.length] ?? 1;
    const shape = Array.from({ length: rank }, (_, axis) => Math.max(...tensors.map(([, tensor]) => extentOf(tensor, axis))));
    const axis = shape.indexOf(Math.max(...shape));
    const axes = Object.fromEntries(tensors.filter(([, tensor]) => extentOf(tensor, axis) > 1).map(([key, tensor]) => [key, axis - rank + tensor.shape.length]));
    return makeInParts(gpu, { name, shape, axis, inputs: call.inputs, axes }, (inputs) => standard({ ...call, inputs }) as TensorInfo);
  };
}

/** Along the longest axis whose elements are repeated as a whole, or one by one. */
function tile(gpu: GpuDispatcher, standard: KernelFunc): KernelFunc {
  return (call) => {
    const x = inputOf(call.inputs, 'x');
    const reps = call.attrs?.['reps'] as number[];
    const shape = x.shape.map((extent, i) => extent * (reps[i] ?? 1));
    const lengths = shape.map((extent, i) => (reps[i] === 1 || x.shape[i] === 1 ? extent : 0));
    const axis = Math.max(0, lengths.indexOf(Math.max(...lengths)));
    const isRepeated = reps[axis] !== 1;
    return makeInParts(gpu, { name: 'Tile', shape, axis, inputs: call.inputs, axes: isRepeated ? {} : { x: axis } }, (inputs, extent) =>
      standard({ ...call, inputs, attrs: { ...call.attrs, reps: isRepeated ? reps.map((count, i) => (i === axis ? extent : count)) : reps } }) as TensorInfo);
  };
}

/** The largest element: that of the largest of parts. */
function maximum(gpu: GpuDispatcher, standard: KernelFunc): KernelFunc {
  return (call) => {
    const x = inputOf(call.inputs, 'x');
    const isOfAll = tf.util.parseAxisParam(call.attrs?.['reductionIndices'] as number[], x.shape).length === x.shape.length;
    if (bytesOf(x) <= gpu.bindingBytes || !isOfAll) return standard(call);
    const most = (of: TensorInfo): TensorInfo => standard({ ...call, inputs: { x: { ...of, shape: [sizeOf(of.shape)] } }, attrs: { reductionIndices: [0], keepDims: false } }) as TensorInfo;
    const spans = spansOf(gpu, { name: 'Max', units: sizeOf(x.shape), cuts: [{ tensor: x, layout: [1, 1] }] });
    const greatest = makeLike(gpu.backend, x, [spans.length]);
    spans.forEach((span, first) => {
      const part = copyOfPart(gpu, { tensor: x, layout: [1, 1] }, span);
      const one = most(part);
      writePart(gpu, one, { tensor: greatest, layout: [1, 1], first });
      gpu.release(part);
      gpu.release(one);
    });
    const y = most(greatest);
    gpu.release(greatest);
    return { ...y, shape: call.attrs?.['keepDims'] === true ? x.shape.map(() => 1) : [] };
  };
}

/** Copies, which no binding limits. */
function concat(gpu: GpuDispatcher, standard: KernelFunc): KernelFunc {
  return (call) => {
    const parts = (Object.values(call.inputs) as TensorInfo[]).filter(({ shape }) => sizeOf(shape) > 0);
    const [one] = parts;
    if (one === undefined || 4 * parts.reduce((sum, { shape }) => sum + sizeOf(shape), 0) <= gpu.bindingBytes) return standard(call);
    const axis = tf.util.parseAxisParam(call.attrs?.['axis'] as number, one.shape)[0] ?? 0;
    const extents = parts.map(({ shape }) => shape[axis] ?? 1);
    const shape = one.shape.map((extent, i) => (i === axis ? extents.reduce((sum, own) => sum + own, 0) : extent));
    const out = makeLike(gpu.backend, one, shape);
    parts.reduce((first, part, i) => {
      writePart(gpu, part, { tensor: out, layout: layoutOf(shape, axis), first });
      return first + (extents[i] ?? 0);
    }, 0);
    return out;
  };
}

/** Copies, axis by axis. */
function slice(gpu: GpuDispatcher, standard: KernelFunc): KernelFunc {
  return (call) => {
    const x = inputOf(call.inputs, 'x');
    const [begin, size] = tf.slice_util.parseSliceParams(x as tf.Tensor, call.attrs?.['begin'] as number[], call.attrs?.['size'] as number[]) as [number[], number[]];
    if (bytesOf(x) <= gpu.bindingBytes || sizeOf(size) === 0) return standard(call);
    const shortened = begin.flatMap((_, axis) => (size[axis] === x.shape[axis] ? [] : [axis]));
    return (shortened.length === 0 ? [0] : shortened).reduce((from, axis) => {
      const span: Span = [begin[axis] ?? 0, (begin[axis] ?? 0) + (size[axis] ?? 0)];
      const some = partAlong(gpu, from, { axis, span });
      if (from !== x) gpu.release(from);
      return some;
    }, x);
  };
}

/** The parts of a slice in as many places. */
function split(gpu: GpuDispatcher, standard: KernelFunc): KernelFunc {
  return (call) => {
    const x = inputOf(call.inputs, 'x');
    if (bytesOf(x) <= gpu.bindingBytes) return standard(call);
    const axis = tf.util.parseAxisParam(call.attrs?.['axis'] as number, x.shape)[0] ?? 0;
    let end = 0;
    return tf.backend_util.prepareSplitSize(x as tf.Tensor, call.attrs?.['numOrSizeSplits'] as number[], axis).map((extent) => {
      end += extent;
      return partAlong(gpu, x, { axis, span: [end - extent, end] });
    });
  };
}

/** One that moves nothing, as the gradient of `GatherV2` asks for, is the tensor itself; others go along the longest axis. */
function transpose(gpu: GpuDispatcher, standard: KernelFunc): KernelFunc {
  return (call) => {
    const x = inputOf(call.inputs, 'x');
    const perm = call.attrs?.['perm'] as number[];
    if (perm.every((from, to) => from === to)) {
      gpu.backend.incRef(x.dataId);
      return { ...x };
    }
    const longest = x.shape.indexOf(Math.max(...x.shape));
    const whole = { name: 'Transpose', shape: perm.map((from) => x.shape[from] ?? 1), axis: perm.indexOf(longest), inputs: call.inputs, axes: { x: longest } };
    return makeInParts(gpu, whole, (inputs) => standard({ ...call, inputs }) as TensorInfo);
  };
}
