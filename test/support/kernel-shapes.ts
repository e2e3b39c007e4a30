import fc from 'fast-check';

import type { ValueStyle } from './kernel-inputs.js';
import type { CaseSetting, KernelCase, KernelTwins } from './kernel-twins.js';

/** Arbitrary shapes of engine kernels, and how a property over them is checked on twins. */

export const upTo = (max: number, min = 1): fc.Arbitrary<number> => fc.integer({ min, max });
export const seeds = { seed: fc.nat(), shift: fc.nat(1) };
export const valueStyles = fc.constantFrom<ValueStyle>('grid', 'mixed', 'large');
export const rates = fc.constantFrom<number>(0, 0.02, 0.2, 0.6, 1);
export const neurons = { decay: fc.constantFrom<number>(0.9, 0.5, 1, 0.25, 0.123), reset: fc.constantFrom<number>(0, 1, 2), timeSteps: upTo(4) };
/** Two numbers that `rangeOf` and `columnsOf` make a range of. */
export const ends = fc.tuple(fc.nat(1 << 20), fc.nat(1 << 20));

/** A part of 0 … count: all of it in half of the cases, now and then nothing. */
export function rangeOf([a, b]: readonly [number, number], count: number): [from: number, to: number] {
  const [x, y] = [a % (count + 1), Math.floor(b / 2) % (count + 1)];
  if (x === y) return a % 8 === 0 ? [x, x] : [0, count];
  return b % 2 === 0 ? [0, count] : [Math.min(x, y), Math.max(x, y)];
}

/** A part of the columns 0 … outputs in whole words. */
export function columnsOf(range: readonly [number, number], outputs: number): [from: number, to: number] {
  const [from, to] = rangeOf(range, outputs / 64);
  return [64 * from, 64 * to];
}

/** Spike words that begin at an address that is, for `shift` 1, no multiple of 16. */
export function placeBits({ arena, inputs }: CaseSetting, words: number, how: { shift: number; rate: number }, label = 'bits'): number {
  return arena.place(inputs.bits(how.shift + words, how.rate), label) + 8 * how.shift;
}

/** Checks a property on twins; the values of the failing case are in the message. */
export type Check = <C extends { readonly seed: number }>(shapes: fc.Arbitrary<C>, build: (values: C) => KernelCase, numRuns?: number) => void;

export function checkOn(twins: () => KernelTwins): Check {
  return (shapes, build, numRuns = 60) => {
    fc.assert(fc.property(shapes, (values) => { twins().compare(values.seed, build(values)); }), { numRuns, seed: 20260901 });
  };
}
