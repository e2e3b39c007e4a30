import type { GpuDispatcher, GpuKernel } from './dispatch.js';
import type { HalfScales } from './half-scale.js';
import { createHalfScales } from './half-scale.js';
import type { ProductVariant, TileSide } from './matmul-tile.js';
import { tileKernel } from './matmul-tile.js';
import type { MatrixUnit } from './matmul-units.js';
import { unitKernel } from './matmul-units.js';

/** How a device multiplies matrices whose elements are rounded to float16; sums are float32. */
export interface HalfProducts {
  readonly scales: HalfScales;
  kernel(variant: ProductVariant, side: TileSide): GpuKernel;
}

/** @param unit computes large tiles where there is one. */
export function createHalfProducts(gpu: GpuDispatcher, unit: MatrixUnit | null): HalfProducts {
  return {
    scales: createHalfScales(gpu),
    kernel: (variant, side) => (unit !== null && side === 128 ? unitKernel(variant, unit) : tileKernel(variant, side)),
  };
}

const verified = new WeakMap<GpuDispatcher, HalfProducts>();

/** Lets `BatchMatMul` use these products in passes that ask for them; they were verified. */
export function useHalfProducts(gpu: GpuDispatcher, products: HalfProducts): void {
  verified.set(gpu, products);
}

/** The products to use, or null where none were verified. */
export function halfProductsOf(gpu: GpuDispatcher): HalfProducts | null {
  return verified.get(gpu) ?? null;
}
