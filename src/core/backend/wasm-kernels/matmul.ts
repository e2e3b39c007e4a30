import type { KernelConfig, NamedAttrMap, TensorInfo } from '@tensorflow/tfjs-core';

import { sizeOf } from '../kernel-tensors.js';
import type { MatrixProduct } from '../matrix-product.js';
import { isOneProduct, matrixProductOf } from '../matrix-product.js';
import type { KernelHeap } from './heap.js';
import { standardKernel } from './heap.js';

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
        const product = matrixProductOf(call.inputs, call.attrs);
        return product === null ? plain(call) : matMul(heap, product, null);
      },
    },
    {
      kernelName: '_FusedMatMul', backendName: 'wasm',
      kernelFunc: (call) => {
        const bias = call.inputs['bias'] ?? null;
        const product = isLinear(call.attrs) ? matrixProductOf(call.inputs, call.attrs) : null;
        return product === null || !isBiasOf(product, bias) ? fused(call) : matMul(heap, product, bias);
      },
    },
  ];
}

function isLinear(attrs: NamedAttrMap | undefined): boolean {
  const activation = attrs?.['activation'];
  return activation === undefined || activation === null || activation === 'linear';
}

function isBiasOf({ n }: MatrixProduct, bias: TensorInfo | null): boolean {
  return bias === null || (bias.dtype === 'float32' && sizeOf(bias.shape) === n);
}

/** @param bias (n), or null. */
function matMul(heap: KernelHeap, product: MatrixProduct, bias: TensorInfo | null): TensorInfo {
  const { a, b, m, n, k, batches } = product;
  const out = heap.output([...batches.shape, m, n]);
  if (sizeOf(out.shape) === 0) return out;
  const [from, to, biasAt] = [[heap.address(a), heap.address(b)] as const, heap.address(out), bias === null ? 0 : heap.address(bias)];
  const flags = [Number(product.transposeA), Number(product.transposeB)] as const;
  heap.withScratch(heap.call.gemmScratchBytes(flags[0]), (scratch) => {
    if (isOneProduct(product)) {
      heap.call.gemm(from[0], from[1], to, biasAt, batches.pairs.length * m, n, k, ...flags, scratch);
      return;
    }
    batches.pairs.forEach(([i, j], batch) => {
      heap.call.gemm(from[0] + 4 * i * m * k, from[1] + 4 * j * k * n, to + 4 * batch * m * n, biasAt, m, n, k, ...flags, scratch);
    });
  });
  return out;
}
