import { BackendError } from '../../errors.js';
import { sizeOf } from '../kernel-tensors.js';
import type { MatrixProduct } from '../matrix-product.js';
import { isOneProduct } from '../matrix-product.js';
import { bindableElements, bytesOf, tooLarge } from './binding-limit.js';
import type { Span } from './cut.js';
import { spans } from './cut.js';
import type { GpuDispatcher } from './dispatch.js';
import { MOST_GROUPS } from './dispatch.js';

/** Equally shaped products of which one dispatch computes a block; distances in elements from one to the next. */
export interface ProductRun {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly batches: number;
  /** First element of A, B and the result. */ readonly at: readonly [a: number, b: number, out: number];
  readonly strides: readonly [a: number, b: number];
}

/** What one dispatch computes of a run: rows × columns of the result over the terms of `inner`. */
export interface ProductBlock { readonly rows: Span; readonly columns: Span; readonly inner: Span }

/** The dispatches of a product: one for all batches where they are evenly spaced and each tensor fits a binding, else one per batch. */
export function runsOf(product: MatrixProduct, { bindingBytes }: GpuDispatcher): ProductRun[] {
  const { a, b, m, n, k, batches: { shape, pairs } } = product;
  if (isOneProduct(product)) return [{ m: pairs.length * m, n, k, batches: 1, at: [0, 0, 0], strides: [0, 0] }];
  const spacing = [evenSpacing(pairs.map(([i]) => i)), evenSpacing(pairs.map(([, j]) => j))] as const;
  const fits = bytesOf(a) <= bindingBytes && bytesOf(b) <= bindingBytes && 4 * sizeOf([...shape, m, n]) <= bindingBytes;
  if (fits && spacing[0] !== null && spacing[1] !== null && pairs.length <= MOST_GROUPS) {
    return [{ m, n, k, batches: pairs.length, at: [0, 0, 0], strides: [spacing[0] * m * k, spacing[1] * k * n] }];
  }
  return pairs.map(([i, j], batch) => ({ m, n, k, batches: 1, at: [i * m * k, j * k * n, batch * m * n], strides: [0, 0] }));
}

/** s where the indices are 0, s, 2s, …; null where they are not. */
function evenSpacing(indices: readonly number[]): number | null {
  const spacing = indices[1] ?? 0;
  return indices.every((index, i) => index === i * spacing) ? spacing : null;
}

/**
 * Cuts a run into blocks of which every tensor's part can be bound: a tensor that is too large is cut along its rows, which are rows or columns
 * of the result or terms of the sum. Blocks of one result that differ in `inner` add up, in order.
 * @throws BackendError when not even one row fits.
 */
export function blocksOf(product: MatrixProduct, { m, n, k }: ProductRun, gpu: GpuDispatcher): ProductBlock[] {
  const { a, b, transposeA, transposeB, batches } = product;
  const most = bindableElements(gpu.backend, gpu.bindingBytes);
  const rowsOf = (elements: number, length: number): number => (elements <= gpu.bindingBytes / 4 ? Infinity : Math.floor(most / length));
  const [ofA, ofB] = [rowsOf(sizeOf(a.shape), transposeA ? m : k), rowsOf(sizeOf(b.shape), transposeB ? k : n)];
  const ofOut = rowsOf(sizeOf([...batches.shape, product.m, n]), n);
  if (ofA === 0 || ofB === 0) throw tooLarge(ofA === 0 ? a : b, gpu.bindingBytes, 'MatMul');
  if (ofOut === 0) throw new BackendError(`MatMul: ${n} columns of a result are more than a binding of ${gpu.bindingBytes} bytes holds`, { suggestions: ['--backend wasm'] });
  const rows = spans(m, Math.min(ofOut, transposeA ? Infinity : ofA));
  const columns = spans(n, transposeB ? ofB : Infinity);
  const inner = spans(k, Math.min(transposeA ? ofA : Infinity, transposeB ? Infinity : ofB));
  return rows.flatMap((r) => columns.flatMap((c) => inner.map((i) => ({ rows: r, columns: c, inner: i }))));
}
