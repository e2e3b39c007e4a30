import type { TileSide } from './matmul-tile.js';

/** How a block of a product is shared out among workgroups. */
export interface TilePlan {
  readonly side: TileSide;
  /** The terms of each result are summed in so many parts, which a second kernel adds. */ readonly parts: number;
}

/** Workgroups that keep a large GPU busy: an H200 has 132 multiprocessors and runs several on each. */
const BUSY_GROUPS = 256;
export const MOST_PARTS = 32;
/** Fewer terms than this are not worth a sum of parts. */
const LEAST_TERMS = 512;

/**
 * Large tiles read each input least often, so they are taken where they alone, or with the terms in parts (a weight's gradient has few results
 * and thousands of terms), make enough workgroups; small ones elsewhere.
 * @param canSplit whether partial sums have a place.
 */
export function planTiles(size: { readonly m: number; readonly n: number; readonly k: number; readonly batches: number }, canSplit: boolean): TilePlan {
  const partsFor = (side: TileSide): number => {
    const wanted = Math.ceil(BUSY_GROUPS / tilesOf(size, side));
    return canSplit ? Math.max(1, Math.min(wanted, MOST_PARTS, Math.floor(size.k / LEAST_TERMS))) : 1;
  };
  const large = { side: 128, parts: partsFor(128) } as const;
  const isWorthIt = size.m > 64 && size.n > 64 && tilesOf(size, 128) * large.parts >= BUSY_GROUPS / 4;
  return isWorthIt ? large : { side: 32, parts: partsFor(32) };
}

function tilesOf({ m, n, batches }: { readonly m: number; readonly n: number; readonly batches: number }, side: TileSide): number {
  return Math.ceil(m / side) * Math.ceil(n / side) * batches;
}
