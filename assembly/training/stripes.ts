import { copyRuns } from './layout';

/**
 * Columns worked on at once, 8 registers. Their part of a matrix whose rows are summed is copied to where its rows lie next to each other: apart by a
 * power of two they fall on few sets of the first-level cache and push each other out (a third slower for 256 columns).
 */
export const STRIPE: i32 = 32;
export const STRIPE_BYTES: usize = 128;

// @ts-ignore: decorator
@inline
export function stripesOf(columns: i32): i32 {
  return (columns + STRIPE - 1) / STRIPE;
}

/** Copies the columns from `column` on, at most a stripe, of a matrix with `stride` bytes per row. */
export function copyStripe(matrix: usize, stride: usize, stripe: usize, rows: i32, column: i32, columns: i32): void {
  copyRuns(matrix + ((<usize>column) << 2), stride, stripe, STRIPE_BYTES, rows, min(STRIPE, columns - column));
}
