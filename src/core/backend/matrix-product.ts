import type { NamedAttrMap, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';

import { sizeOf } from './kernel-tensors.js';

/** A product of (batches of) matrices, out = A·B, each of A and B stored as it is or transposed. */
export interface MatrixProduct {
  readonly a: TensorInfo;
  readonly b: TensorInfo;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  /** (m, k)·(k, n) */ readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly batches: ProductBatches;
}

/** The products of single matrices that it consists of: which matrix of A and which of B each takes. */
export interface ProductBatches {
  readonly shape: readonly number[];
  readonly pairs: ReadonlyArray<readonly [a: number, b: number]>;
}

/** What `BatchMatMul` was asked for, or null when its inputs are not float32. @throws Error when the batch extents do not broadcast. */
export function matrixProductOf(inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): MatrixProduct | null {
  const { a, b } = inputs;
  if (a === undefined || b === undefined || a.dtype !== 'float32' || b.dtype !== 'float32') return null;
  const [transposeA, transposeB] = [attrs?.['transposeA'] === true, attrs?.['transposeB'] === true];
  const [[rowsA, columnsA], [rowsB, columnsB]] = [matrixShape(a), matrixShape(b)];
  const [m, k] = transposeA ? [columnsA, rowsA] : [rowsA, columnsA];
  const batches = broadcastBatches(a.shape.slice(0, -2), b.shape.slice(0, -2));
  return { a, b, transposeA, transposeB, m, k, n: transposeB ? rowsB : columnsB, batches };
}

/** True when one B serves all batches of an A that is not transposed: they are one taller matrix. */
export function isOneProduct({ a, b, transposeA, m, n, k, batches }: MatrixProduct): boolean {
  return !transposeA && sizeOf(b.shape) === k * n && batches.pairs.length * m * k === sizeOf(a.shape);
}

function matrixShape(tensor: TensorInfo): [number, number] {
  return [tensor.shape.at(-2) ?? 1, tensor.shape.at(-1) ?? 1];
}

function broadcastBatches(batchA: readonly number[], batchB: readonly number[]): ProductBatches {
  const shape = tf.broadcast_util.assertAndGetBroadcastShape([...batchA], [...batchB]);
  const pairs: [number, number][] = [];
  for (let index = 0; index < sizeOf(shape); index++) pairs.push([batchIndex(index, shape, batchA), batchIndex(index, shape, batchB)]);
  return { shape, pairs };
}

/** Where entry `index` of the broadcast shape lies in a tensor whose extents are those or 1. */
function batchIndex(index: number, shape: readonly number[], own: readonly number[]): number {
  let position = 0;
  let stride = 1;
  for (let back = 1; back <= own.length; back++) {
    const [extent, ownExtent] = [shape[shape.length - back] ?? 1, own[own.length - back] ?? 1];
    if (ownExtent !== 1) position += (index % extent) * stride;
    index = Math.floor(index / extent);
    stride *= ownExtent;
  }
  return position;
}
