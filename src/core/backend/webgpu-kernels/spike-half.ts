import type { TensorInfo } from '@tensorflow/tfjs-core';

import { halfPass } from '../product-precision.js';
import type { CutCall } from './cut.js';
import type { GpuDispatcher, GpuKernel } from './dispatch.js';
import type { HalfProducts } from './half-products.js';
import { halfProductsOf } from './half-products.js';
import type { ProductNumbers, TileSide } from './matmul-tile.js';
import { PRODUCT_UNIFORMS } from './matmul-tile.js';
import type { BitDirection, SpikeSizes, SpikeTilePlan, SpikeTileTerms } from './spike-tiles.js';
import { termsPerPart } from './spike-tiles.js';

/** Products of packed spikes, which float16 holds exactly, with a matrix that is rounded to it: the kernels of `BatchMatMul` whose left input is bits. */
export interface HalfSpikeProducts {
  /** Tensors: spikes, matrix, results, `scales`. */ kernel(direction: BitDirection, side: TileSide): GpuKernel;
  readonly scales: TensorInfo;
  /** A run that adds to what is there, or not, in place of `spikeTileRun`. */
  plan(size: SpikeSizes, tiles: SpikeTilePlan, terms: SpikeTileTerms): ReturnType<CutCall['plan']>;
}

/** The products to use with a matrix in this pass; null where inputs are not rounded. */
export function halfSpikeProducts(gpu: GpuDispatcher, matrix: TensorInfo): HalfSpikeProducts | null {
  const [pass, products] = [halfPass(), halfProductsOf(gpu)];
  return pass === null || products === null ? null : spikeProductsOf(products, products.scales.slotOf(matrix, pass));
}

/** @param slot of the matrix's scale. */
export function spikeProductsOf(products: HalfProducts, slot: number): HalfSpikeProducts {
  return {
    kernel: (direction, side) => products.kernel({ transposeA: direction === 'results', transposeB: false, half: true, packedA: true }, side),
    scales: products.scales.scales,
    plan: (size, tiles, terms) => planRun(size, tiles, { ...terms, slot }),
  };
}

function planRun({ p, q, k, words }: SpikeSizes, { side, parts }: SpikeTilePlan, { firstPart, isResumed, slot }: SpikeTileTerms & { readonly slot: number }): ReturnType<CutCall['plan']> {
  const [rows, columns] = [Math.ceil(p / side), Math.ceil(q / side)];
  const columnsFirst = columns <= rows;
  const numbers: ProductNumbers = {
    rows: p, columns: q, inner: k, innerPerPart: termsPerPart(k, parts), batches: 1, leadA: words, leadB: q, leadOut: q, atA: 0, atB: 0, atOut: firstPart * p * q,
    strideA: 0, strideB: 0, strideOut: p * q, accumulate: Number(isResumed), columnsFirst: Number(columnsFirst), slotA: 0, slotB: slot,
  };
  return { uniforms: PRODUCT_UNIFORMS.map((name) => numbers[name]), workgroups: [...(columnsFirst ? [columns, rows] as const : [rows, columns] as const), parts] };
}
