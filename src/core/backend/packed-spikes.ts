import type { TensorInfo } from '@tensorflow/tfjs-core';

import { ShapeError } from '../errors.js';
import { extents } from './kernel-tensors.js';

/** Spikes (rows, inputs) as bits: (rows, ⌈inputs/32⌉) int32, spike c of a row at bit c mod 32 of its word c/32. */

/** Words that hold the spikes of a row. */
export function packedWords(inputs: number): number {
  return Math.ceil(inputs / 32);
}

/** Rows and words of packed spikes. @throws ShapeError unless they are int32 for this many inputs. */
export function packedExtents(s: TensorInfo, inputs: number): readonly [rows: number, words: number] {
  const [rows = 0, words = 0] = extents(s, 2, 's');
  if (s.dtype === 'int32' && words === packedWords(inputs)) return [rows, words];
  throw new ShapeError(`s is ${s.dtype} [${s.shape.join(', ')}]; packed spikes of ${inputs} inputs, int32 [${rows}, ${packedWords(inputs)}], were expected`);
}
