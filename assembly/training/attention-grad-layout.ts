import { wordsOf } from './attention';

/** Where the parts of the scratch memory of `attentionGrad` lie, for T time steps, L tokens and K channels of a head. `scratch` 0 gives offsets. */

/** Entries of a row that are summed at once. */
export const STRIPE: i32 = 32;

/** Maps per time step, one transposed map, a (K, L) block of dvalues or of sums, bits, lists of at most L entries, a counter for each, and where in them stripes start. */
export function attentionGradScratchBytes(timeSteps: i32, length: i32, headWidth: i32): usize {
  return startsAt(0, timeSteps, length, headWidth) + <usize>(stripesOf(length) * headWidth << 2);
}

// @ts-ignore: decorator
@inline
export function paddedLength(length: i32): i32 {
  return (length + 3) & ~3;
}

// @ts-ignore: decorator
@inline
export function stripesOf(length: i32): i32 {
  return (length + STRIPE - 1) / STRIPE;
}

/** From row to row of a map: whole stripes and a cache line, so that the entries of a column fall on all sets of the first-level cache. */
// @ts-ignore: decorator
@inline
export function rowBytes(length: i32): usize {
  return <usize>(stripesOf(length) * (STRIPE << 2) + 64);
}

// @ts-ignore: decorator
@inline
export function mapAt(scratch: usize, t: i32, length: i32): usize {
  return scratch + <usize>(t * paddedLength(length)) * rowBytes(length);
}

/** The (K, L) block behind the T + 1 maps. */
// @ts-ignore: decorator
@inline
export function channelsAt(scratch: usize, timeSteps: i32, length: i32): usize {
  return mapAt(scratch, timeSteps + 1, length);
}

/** The bits of one row. */
// @ts-ignore: decorator
@inline
export function bitsAt(scratch: usize, timeSteps: i32, length: i32, headWidth: i32): usize {
  return channelsAt(scratch, timeSteps, length) + <usize>headWidth * rowBytes(length);
}

/** Lists, one a key or a channel, as long as there are tokens. */
// @ts-ignore: decorator
@inline
export function listsAt(scratch: usize, timeSteps: i32, length: i32, headWidth: i32): usize {
  return bitsAt(scratch, timeSteps, length, headWidth) + ((<usize>wordsOf(headWidth)) << 3);
}

/** How many entries each list has. */
// @ts-ignore: decorator
@inline
export function countsAt(scratch: usize, timeSteps: i32, length: i32, headWidth: i32): usize {
  return listsAt(scratch, timeSteps, length, headWidth) + ((<usize>max(length, headWidth) * length) << 2);
}

/** Per stripe and channel, where the entries for this stripe start. */
// @ts-ignore: decorator
@inline
export function startsAt(scratch: usize, timeSteps: i32, length: i32, headWidth: i32): usize {
  return countsAt(scratch, timeSteps, length, headWidth) + ((<usize>max(length, headWidth)) << 2);
}
