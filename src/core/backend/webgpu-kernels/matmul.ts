import type { KernelConfig, KernelFunc, TensorInfo } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';

import { sizeOf } from '../kernel-tensors.js';
import type { MatrixProduct } from '../matrix-product.js';
import { matrixProductOf } from '../matrix-product.js';
import { halfPass } from '../product-precision.js';
import { bindElements } from './binding-limit.js';
import type { Span } from './cut.js';
import { runCut } from './cut.js';
import type { GpuDispatcher, GpuKernel, TensorRange } from './dispatch.js';
import { spreadGroups } from './dispatch.js';
import type { HalfProducts } from './half-products.js';
import { halfProductsOf } from './half-products.js';
import type { ProductBlock, ProductRun } from './matmul-blocks.js';
import { blocksOf, runsOf } from './matmul-blocks.js';
import type { TilePlan } from './matmul-plan.js';
import { MOST_PARTS, planTiles } from './matmul-plan.js';
import type { ProductNumbers } from './matmul-tile.js';
import { PRODUCT_UNIFORMS, tileKernel } from './matmul-tile.js';
import { GROUP, MAIN } from './sums.js';

/** Adds the partial sums of a result, in order. */
const SUM_PARTS: GpuKernel = {
  name: 'MatMulSumParts',
  tensors: [['parts', 'read', 'f32'], ['out', 'read_write', 'f32']],
  uniforms: [['size', 'u32'], ['parts', 'u32'], ['atOut', 'u32']],
  code: `@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (group.x + group.y * groups.x) * 64u + local;
  if (i >= uniforms.size) { return; }
  var sum = parts[i];
  for (var part = 1u; part < uniforms.parts; part++) { sum += parts[part * uniforms.size + i]; }
  out[uniforms.atOut + i] = sum;
}`,
};

/** Rows that are the bias. */
const BIAS_ROWS: GpuKernel = {
  name: 'MatMulBias', tensors: [['bias', 'read', 'f32'], ['y', 'write', 'f32']], uniforms: [['count', 'u32'], ['width', 'u32']],
  code: `${MAIN}
  let i = group * ${GROUP}u + local;
  if (i < uniforms.count) { y[i] = bias[i % uniforms.width]; }
}`,
};

/**
 * `BatchMatMul` with any transposition and any broadcast batch, and `_FusedMatMul` with a bias per column, which comes first, and without an activation; also of tensors
 * larger than one binding may be; always summed in the same order.
 */
export function matMulKernels(gpu: GpuDispatcher): KernelConfig[] {
  return ['BatchMatMul', '_FusedMatMul'].map((kernelName) => {
    const standard = tf.getKernel(kernelName, 'webgpu').kernelFunc;
    return { kernelName, backendName: 'webgpu', kernelFunc: (call) => multiplied(gpu, call) ?? standard(call) };
  });
}

/** Null where the call is not one for these kernels. */
function multiplied(gpu: GpuDispatcher, { inputs, attrs }: Parameters<KernelFunc>[0]): TensorInfo | null {
  const product = matrixProductOf(inputs, attrs);
  if (product === null || sizeOf(product.a.shape) === 0 || sizeOf(product.b.shape) === 0) return null;
  const bias = inputs['bias'] ?? null;
  if ((attrs?.['activation'] ?? 'linear') !== 'linear' || (bias !== null && (bias.dtype !== 'float32' || bias.shape.length !== 1 || bias.shape[0] !== product.n))) return null;
  const [pass, products] = [halfPass(), halfProductsOf(gpu)];
  return multiplyMatrices(gpu, product, { half: pass === null || products === null ? null : halfInputs(products, product, pass), plan: planTiles, bias });
}

/** Makes every row of y the bias, to which a product is added. */
export function fillRows(gpu: GpuDispatcher, y: TensorInfo, bias: TensorInfo): void {
  const width = sizeOf(bias.shape);
  runCut(gpu, BIAS_ROWS, {
    tensors: [bias, y], units: sizeOf(y.shape) / width, layouts: [null, [1, width]],
    plan: (count) => ({ uniforms: [count * width, width], workgroups: spreadGroups(Math.ceil(count * width / GROUP)) }),
  });
}

/** How a product is computed. */
export interface ProductOptions {
  /** Inputs rounded to float16, and where their scales are; null for float32. */ readonly half: HalfInputs | null;
  /** (n), in every row of the result from the start; null for none. */ readonly bias: TensorInfo | null;
  /** How blocks are shared out; tests give their own, to reach every kernel with small shapes. */ readonly plan: typeof planTiles;
}
interface HalfInputs { readonly products: HalfProducts; readonly slots: readonly [a: number, b: number] }

/** Measures the inputs of a product that are to be rounded to float16. */
export function halfInputs(products: HalfProducts, { a, b }: MatrixProduct, pass: number): HalfInputs {
  return { products, slots: [products.scales.slotOf(a, pass), products.scales.slotOf(b, pass)] };
}

/**
 * The result (…batches, m, n) of a product without empty extents, the caller's.
 * @throws BackendError when a tensor cannot be bound in parts.
 */
export function multiplyMatrices(gpu: GpuDispatcher, product: MatrixProduct, { half, plan, bias }: ProductOptions): TensorInfo {
  const out = gpu.makeOutput([...product.batches.shape, product.m, product.n]);
  if (bias !== null) fillRows(gpu, out, bias);
  for (const run of runsOf(product, gpu)) {
    for (const block of blocksOf(product, run, gpu)) computeBlock(gpu, { product, out, half, plan, bias }, { run, block });
  }
  return out;
}

interface Operands extends ProductOptions { readonly product: MatrixProduct; readonly out: TensorInfo }
interface BlockOfRun { readonly run: ProductRun; readonly block: ProductBlock }

function computeBlock(gpu: GpuDispatcher, operands: Operands, where: BlockOfRun): void {
  const { run, block: { rows, columns, inner } } = where;
  const size = { m: lengthOf(rows), n: lengthOf(columns), k: lengthOf(inner), batches: run.batches };
  const results = size.m * size.n * size.batches;
  // Partial sums lie one result after the other, and together they must fit a binding too.
  const canSplit = operands.bias === null && size.n === run.n && size.k === run.k && 4 * MOST_PARTS * results <= gpu.bindingBytes;
  const { side, parts } = operands.plan(size, canSplit);
  const target = bindStored(gpu, operands.out, { ...where, slow: rows, fast: columns, at: run.at[2], lead: run.n, stride: run.m * run.n });
  if (parts === 1) {
    runTiles(gpu, operands, { ...where, side, parts, target: { ...target, lead: run.n, stride: run.m * run.n } });
    return;
  }
  const sums = gpu.makeOutput([parts, results]);
  runTiles(gpu, operands, { ...where, side, parts, target: { bound: sums, at: 0, lead: size.n, stride: size.m * size.n } });
  gpu.run(SUM_PARTS, { tensors: [sums, target.bound], uniforms: [results, parts, target.at], workgroups: spreadGroups(Math.ceil(results / 64)) });
  gpu.release(sums);
}

interface Bound { readonly bound: TensorInfo | TensorRange; readonly at: number }
interface TileRun extends BlockOfRun, TilePlan { readonly target: Bound & { readonly lead: number; readonly stride: number } }

function runTiles(gpu: GpuDispatcher, { product, half, bias }: Operands, { run, block: { rows, columns, inner }, side, parts, target }: TileRun): void {
  const { transposeA, transposeB } = product;
  const [leadA, leadB] = [transposeA ? run.m : run.k, transposeB ? run.k : run.n];
  const a = bindStored(gpu, product.a, { run, slow: transposeA ? inner : rows, fast: transposeA ? rows : inner, at: run.at[0], lead: leadA, stride: run.strides[0] });
  const b = bindStored(gpu, product.b, { run, slow: transposeB ? columns : inner, fast: transposeB ? inner : columns, at: run.at[1], lead: leadB, stride: run.strides[1] });
  const tiles = { rows: Math.ceil(lengthOf(rows) / side), columns: Math.ceil(lengthOf(columns) / side) };
  // Workgroups that run together then share as much of both inputs as the caches hold.
  const columnsFirst = tiles.columns <= tiles.rows;
  const numbers: ProductNumbers = {
    rows: lengthOf(rows), columns: lengthOf(columns), inner: lengthOf(inner), innerPerPart: Math.ceil(lengthOf(inner) / parts), batches: run.batches,
    leadA, leadB, leadOut: target.lead, atA: a.at, atB: b.at, atOut: target.at, strideA: run.strides[0], strideB: run.strides[1], strideOut: target.stride,
    accumulate: Number(inner[0] > 0 || bias !== null), columnsFirst: Number(columnsFirst),
    slotA: half?.slots[0] ?? 0, slotB: half?.slots[1] ?? 0,
  };
  const grid = columnsFirst ? [tiles.columns, tiles.rows] as const : [tiles.rows, tiles.columns] as const;
  const variant = { transposeA, transposeB, half: half !== null, packedA: false };
  gpu.run(half === null ? tileKernel(variant, side) : half.products.kernel(variant, side), {
    tensors: [a.bound, b.bound, target.bound, ...(half === null ? [] : [half.products.scales.scales])], uniforms: PRODUCT_UNIFORMS.map((name) => numbers[name]), workgroups: [...grid, run.batches * parts],
  });
}

interface Stored {
  readonly run: ProductRun;
  /** The index that moves by whole rows of memory, and the one within a row. */ readonly slow: Span;
  readonly fast: Span;
  readonly at: number;
  readonly lead: number;
  readonly stride: number;
}

/** Binds what a block needs of a tensor; `at` is where the block's first element is in the binding. */
function bindStored(gpu: GpuDispatcher, tensor: TensorInfo, { run, slow, fast, at, lead, stride }: Stored): Bound {
  const first = at + slow[0] * lead + fast[0];
  const end = at + (run.batches - 1) * stride + (slow[1] - 1) * lead + fast[1];
  return bindElements(gpu.backend, tensor, { first, end, bindingBytes: gpu.bindingBytes });
}

const lengthOf = ([first, end]: Span): number => end - first;
