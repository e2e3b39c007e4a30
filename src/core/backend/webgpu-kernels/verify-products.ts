import type { TensorInfo } from '@tensorflow/tfjs-core';

import type { HalfReport } from '../half-report.js';
import { matrixProductOf } from '../matrix-product.js';
import type { GpuDispatcher, GpuKernel } from './dispatch.js';
import { sourceOf } from './dispatch.js';
import type { GpuDevice } from './gpu.js';
import type { HalfProducts } from './half-products.js';
import { createHalfProducts, useHalfProducts } from './half-products.js';
import type { ProductVariant, TileSide } from './matmul-tile.js';
import type { UnitOffer } from './matmul-units.js';
import { chooseUnit } from './matmul-units.js';
import { halfInputs, multiplyMatrices } from './matmul.js';
import { spikeProductsOf } from './spike-half.js';
import { ALL_TERMS } from './spike-tiles.js';

/** Odd, and more than one workgroup's tile of results in both directions and one step of terms. */
const SIZES: Readonly<Record<TileSide, readonly [m: number, n: number, k: number]>> = { 32: [37, 41, 43], 128: [133, 139, 71] };
/** All transpositions, and packed spikes on the left as they are multiplied forward and towards weights. */
const VARIANTS = [[false, false, false], [false, true, false], [true, false, false], [true, true, false], [false, false, true], [true, false, true]].map(
  ([transposeA, transposeB, packedA]) => ({ half: true, transposeA, transposeB, packedA }) as ProductVariant,
);

/** What came of a verification. */
export interface Verified {
  /** Null when every result was within the bound. */ readonly failure: string | null;
  /** Largest error as a share of what `errorBound` allows. */ readonly worst: number;
}

/**
 * Most that a product of float16 inputs and float32 sums may differ from the exact one: both inputs are rounded by up to 2^-10 of themselves
 * (whichever way the device rounds) and by up to 2^-28 of their tensor's largest magnitude where they are too small for float16's normal range,
 * and the sum of k terms by k · 2^-23 of its terms.
 * @param terms Σ|a·b| of the result. @param largest product of the two tensors' largest magnitudes.
 */
export function errorBound({ terms, largest, k }: { readonly terms: number; readonly largest: number; readonly k: number }): number {
  return (2 ** -9 + 2 ** -19 + k * 2 ** -23) * terms + k * 2 ** -26 * largest;
}

/**
 * Verifies what the device has for products with float16 inputs, the plain kernels and then its matrix units, and lets `BatchMatMul` use what is
 * right. @returns whether anything is, and what was found, for `bispik doctor`.
 */
export async function prepareHalfProducts(gpu: GpuDispatcher, offer: UnitOffer): Promise<HalfReport> {
  if (!offer.features.has('shader-f16')) return { isReady: false, details: ['float16: not offered by the adapter (no shader-f16)'] };
  const plain = createHalfProducts(gpu, null);
  for (const side of [32, 128] as const) {
    const { failure } = await verifyHalfProducts(gpu, plain, side);
    if (failure !== null) return { isReady: false, details: [`float16: not used; the kernel of ${side} × ${side} results ${failure}`] };
  }
  useHalfProducts(gpu, plain);
  const details = ['float16: verified against float64'];
  const unit = chooseUnit(offer);
  if (typeof unit === 'string') return { isReady: true, details: [...details, `matrix units: ${unit}`] };
  const shape = `${unit.M} × ${unit.N} × ${unit.K} by ${unit.lanes} invocations`;
  const products = createHalfProducts(gpu, unit);
  const { failure, worst } = await verifyHalfProducts(gpu, products, 128);
  if (failure !== null) return { isReady: true, details: [...details, `matrix units: not used; ${shape} ${failure}`] };
  useHalfProducts(gpu, products);
  return { isReady: true, details: [...details, `matrix units: ${shape}, verified against float64 (largest error ${worst.toFixed(2)} of the bound)`] };
}

/**
 * Compiles the kernels of one tile side and runs all variants on random numbers over 12 binary orders of magnitude, against float64.
 * Nothing that goes wrong here makes later reads fail.
 */
export async function verifyHalfProducts(gpu: GpuDispatcher, products: HalfProducts, side: TileSide): Promise<Verified> {
  let worst = 0;
  for (const variant of VARIANTS) {
    const failure = await compileError(gpu.backend.device, products.kernel(variant, side));
    if (failure !== null) return { failure: `does not compile: ${failure}`, worst };
    const { error, share } = await compare(gpu, products, { side, variant });
    if (error !== null) return { failure: `does not run: ${error}`, worst };
    if (!(share <= 1)) return { failure: `wrong: the largest error is ${share.toPrecision(3)} times what rounding to float16 explains`, worst: share };
    worst = Math.max(worst, share);
  }
  return { failure: null, worst };
}

async function compileError(device: GpuDevice, kernel: GpuKernel): Promise<string | null> {
  return trap(device, () => {
    const module = device.createShaderModule({ label: kernel.name, code: sourceOf(kernel) });
    device.createComputePipeline({ label: kernel.name, layout: 'auto', compute: { module, entryPoint: 'main' } });
  });
}

/** Runs GPU commands. @returns the device's complaint about them, or null. */
async function trap(device: GpuDevice, run: () => void): Promise<string | null> {
  device.pushErrorScope('internal');
  device.pushErrorScope('validation');
  let thrown: string | null = null;
  try {
    run();
  } catch (error) {
    thrown = error instanceof Error ? error.message : String(error);
  }
  const [validation, internal] = [await device.popErrorScope(), await device.popErrorScope()];
  return thrown ?? validation?.message.trim() ?? internal?.message.trim() ?? null;
}

interface Case { readonly side: TileSide; readonly variant: ProductVariant }

async function compare(gpu: GpuDispatcher, products: HalfProducts, { side, variant }: Case): Promise<{ error: string | null; share: number }> {
  const { transposeA, transposeB, packedA } = variant;
  const [m, n, k] = SIZES[side];
  const shape = transposeA ? [k, m] as const : [m, k] as const;
  const numbers = spread(m * k, 2 ** -30, 1);
  const [a, b] = [packedA ? numbers.map((x) => Number(x > 0)) : numbers, spread(k * n, 2 ** 20, 2)];
  const [A, B] = [packedA ? uploadBits(gpu, a, shape) : upload(gpu, a, shape), upload(gpu, b, transposeB ? [n, k] : [k, n])];
  let out: TensorInfo | null = null;
  const error = await trap(gpu.backend.device, () => {
    out = packedA ? multiplySpikes(gpu, [A, B], { products, side, transposeA }) : multiply(gpu, [A, B], { products, side, variant });
    gpu.backend.endComputePassEncoder();
    gpu.backend.submitQueue();
  });
  const values = error === null && out !== null ? await gpu.backend.read((out as TensorInfo).dataId) : null;
  for (const tensor of [A, B, out]) if (tensor !== null) gpu.release(tensor);
  return { error, share: values === null ? NaN : largestShare(values, { a, b, size: [m, n, k], transposeA, transposeB }) };
}

function multiply(gpu: GpuDispatcher, [a, b]: readonly [TensorInfo, TensorInfo], { products, side, variant }: Case & { readonly products: HalfProducts }): TensorInfo {
  const product = matrixProductOf({ a, b }, { ...variant });
  if (product === null) throw new Error('products of float32 tensors are products');
  return multiplyMatrices(gpu, product, { half: halfInputs(products, product, -1), plan: () => ({ side, parts: 1 }), bias: null });
}

function multiplySpikes(
  gpu: GpuDispatcher, [spikes, b]: readonly [TensorInfo, TensorInfo], { products, side, transposeA }: { readonly products: HalfProducts; readonly side: TileSide; readonly transposeA: boolean },
): TensorInfo {
  const [[p, q, k], words] = [SIZES[side], spikes.shape[1] ?? 0];
  const out = gpu.makeOutput([p, q]);
  const half = spikeProductsOf(products, products.scales.slotOf(b, -1));
  gpu.run(half.kernel(transposeA ? 'results' : 'terms', side), { tensors: [spikes, b, out, half.scales], ...half.plan({ p, q, k, words }, { side, parts: 1 }, ALL_TERMS) });
  return out;
}

/** Rows of 0s and 1s, packed as `BispikPackSpikes` does. */
function uploadBits(gpu: GpuDispatcher, values: Float32Array, [rows, columns]: readonly [number, number]): TensorInfo {
  const words = Math.ceil(columns / 32);
  const bits = new Int32Array(rows * words);
  values.forEach((value, i) => {
    const at = Math.floor(i / columns) * words + Math.floor((i % columns) / 32);
    bits[at] = (bits[at] as number) | (value << (i % columns % 32));
  });
  return gpu.backend.makeTensorInfo([rows, words], 'int32', bits);
}

function upload(gpu: GpuDispatcher, values: Float32Array, shape: readonly number[]): TensorInfo {
  return gpu.backend.makeTensorInfo(shape, 'float32', values);
}

interface Reference { readonly a: Float32Array; readonly b: Float32Array; readonly size: readonly [m: number, n: number, k: number]; readonly transposeA: boolean; readonly transposeB: boolean }

/** Largest |result − exact| in shares of the bound; NaN where a result is. */
function largestShare(values: ArrayLike<number>, { a, b, size: [m, n, k], transposeA, transposeB }: Reference): number {
  const largest = Math.max(...a.map(Math.abs)) * Math.max(...b.map(Math.abs));
  let worst = 0;
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let [sum, terms] = [0, 0];
      for (let l = 0; l < k; l++) {
        const term = (a[transposeA ? l * m + i : i * k + l] as number) * (b[transposeB ? j * k + l : l * n + j] as number);
        sum += term;
        terms += Math.abs(term);
      }
      const share = Math.abs((values[i * n + j] as number) - sum) / errorBound({ terms, largest, k });
      if (!(share <= worst)) worst = share; // also where it is not a number
      if (Number.isNaN(worst)) return worst;
    }
  }
  return worst;
}

/** Numbers of both signs whose magnitudes spread over 12 binary orders, from a fixed seed (a 32-bit linear congruential generator). */
function spread(length: number, scale: number, seed: number): Float32Array {
  let state = seed;
  const uniform = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return Float32Array.from({ length }, () => (2 * uniform() - 1) * scale * 2 ** (-12 * uniform()));
}
