import type { KernelConfig, NamedAttrMap, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';

import { sizeOf } from '../kernel-tensors.js';
import type { KernelHeap } from './heap.js';
import { standardKernel } from './heap.js';

interface MatMul {
  readonly a: TensorInfo;
  readonly b: TensorInfo;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  /** (N), or null. */ readonly bias: TensorInfo | null;
}

/** The batches a product consists of: which matrix of A and which of B each takes. */
interface Batches {
  readonly shape: readonly number[];
  readonly pairs: readonly (readonly [a: number, b: number])[];
}

/**
 * `BatchMatMul` and `_FusedMatMul` with any transposition and any broadcast batch, on one GEMM whose rounding does not depend
 * on the number of rows: TensorFlow.js's own is fast only for a single product without transposition.
 */
export function matMulKernels(heap: KernelHeap): KernelConfig[] {
  const plain = standardKernel('BatchMatMul');
  const fused = standardKernel('_FusedMatMul');
  return [
    {
      kernelName: 'BatchMatMul', backendName: 'wasm',
      kernelFunc: (call) => {
        const product = productOf(call.inputs, call.attrs, null);
        return product === null ? plain(call) : matMul(heap, product);
      },
    },
    {
      kernelName: '_FusedMatMul', backendName: 'wasm',
      kernelFunc: (call) => {
        const product = isLinear(call.attrs) ? productOf(call.inputs, call.attrs, call.inputs['bias'] ?? null) : null;
        return product === null ? fused(call) : matMul(heap, product);
      },
    },
  ];
}

function isLinear(attrs: NamedAttrMap | undefined): boolean {
  const activation = attrs?.['activation'];
  return activation === undefined || activation === null || activation === 'linear';
}

/** Null when the inputs are not what our GEMM computes. */
function productOf(inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined, bias: TensorInfo | null): MatMul | null {
  const { a, b } = inputs;
  if (a === undefined || b === undefined || a.dtype !== 'float32' || b.dtype !== 'float32') return null;
  const transposeB = attrs?.['transposeB'] === true;
  const columns = b.shape[b.shape.length - (transposeB ? 2 : 1)];
  if (bias !== null && (bias.dtype !== 'float32' || sizeOf(bias.shape) !== columns)) return null;
  return { a, b, transposeA: attrs?.['transposeA'] === true, transposeB, bias };
}

function matMul(heap: KernelHeap, product: MatMul): TensorInfo {
  const { a, b, transposeA, transposeB, bias } = product;
  const [rowsA, columnsA] = matrixShape(a);
  const [rowsB, columnsB] = matrixShape(b);
  const [m, k] = transposeA ? [columnsA, rowsA] : [rowsA, columnsA];
  const n = transposeB ? rowsB : columnsB;
  const batches = broadcastBatches(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const out = heap.output([...batches.shape, m, n]);
  if (sizeOf(out.shape) === 0) return out;
  const [from, to, biasAt] = [[heap.address(a), heap.address(b)] as const, heap.address(out), bias === null ? 0 : heap.address(bias)];
  const flags = [Number(transposeA), Number(transposeB)] as const;
  heap.withScratch(heap.call.gemmScratchBytes(flags[0]), (scratch) => {
    if (!transposeA && sizeOf(b.shape) === k * n && batches.pairs.length * m * k === sizeOf(a.shape)) {
      heap.call.gemm(from[0], from[1], to, biasAt, batches.pairs.length * m, n, k, ...flags, scratch);
      return;
    }
    batches.pairs.forEach(([i, j], batch) => {
      heap.call.gemm(from[0] + 4 * i * m * k, from[1] + 4 * j * k * n, to + 4 * batch * m * n, biasAt, m, n, k, ...flags, scratch);
    });
  });
  return out;
}

function matrixShape(tensor: TensorInfo): [number, number] {
  return [tensor.shape.at(-2) ?? 1, tensor.shape.at(-1) ?? 1];
}

function broadcastBatches(batchA: readonly number[], batchB: readonly number[]): Batches {
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
