import type { NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';

import { ShapeError } from '../errors.js';

/** What the kernels of every backend of ours ask of their tensors. */

/** Number of elements of a shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((size, extent) => size * extent, 1);
}

/** The input of that name. @throws Error when the caller left it out: a bug, never a user's mistake. */
export function inputOf(inputs: NamedTensorInfoMap, name: string): TensorInfo {
  const tensor = inputs[name];
  if (tensor === undefined) throw new Error(`kernel input "${name}" is missing`);
  return tensor;
}

/** Extents of a tensor that must have `rank` of them. @throws ShapeError */
export function extents(tensor: TensorInfo, rank: number, name: string): number[] {
  if (tensor.shape.length !== rank) {
    throw new ShapeError(`${name} has shape [${tensor.shape.join(', ')}]; ${rank} dimensions were expected`);
  }
  return tensor.shape;
}

/** @throws ShapeError unless the tensor is float32 of exactly this shape. */
export function expectShape(tensor: TensorInfo, shape: readonly number[], name: string): void {
  if (tensor.dtype === 'float32' && tensor.shape.length === shape.length && shape.every((extent, i) => extent === tensor.shape[i])) return;
  throw new ShapeError(`${name} is ${tensor.dtype} [${tensor.shape.join(', ')}]; float32 [${shape.join(', ')}] was expected`);
}

/** @throws ShapeError unless the labels are one int32 per row. */
export function expectLabels(labels: TensorInfo, rows: number): void {
  if (labels.dtype === 'int32' && labels.shape.length === 1 && labels.shape[0] === rows) return;
  throw new ShapeError(`labels are ${labels.dtype} [${labels.shape.join(', ')}]; int32 [${rows}] was expected`);
}
