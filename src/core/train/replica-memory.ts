import * as tf from '@tensorflow/tfjs-core';

import { tensorOf } from '../backend/tensor-values.js';
import type { LossTerms } from './task.js';
import type { Pass } from './passes.js';
import type { LossNumbers } from './replica.js';

/** Where each parameter lies in a flat array of all of them. */
export interface ParameterPlaces {
  readonly places: ReadonlyMap<string, { readonly start: number; readonly shape: readonly number[] }>;
  /** Numbers in all of them. */ readonly length: number;
}

/** Parameters one behind the other, in their order. */
export function placeParameters(parameters: ReadonlyMap<string, { readonly shape: readonly number[]; readonly size: number }>): ParameterPlaces {
  let length = 0;
  const places = new Map(Array.from(parameters, ([name, { shape, size }]) => {
    const place = { start: length, shape };
    length += size;
    return [name, place] as const;
  }));
  return { places, length };
}

/** Memory that the threads of a run share: written by one side while the other waits for its message. */
export interface ReplicaMemory {
  /** All parameters, written by the trainer before a step. */ readonly parameters: SharedArrayBuffer;
  /** The gradients of one micro-batch, written by the replica. */ readonly gradients: SharedArrayBuffer;
}

/** One tensor's part of a shared buffer, as a view. */
export function partOf(buffer: SharedArrayBuffer, { start, shape }: { readonly start: number; readonly shape: readonly number[] }): Float32Array {
  return new Float32Array(buffer, start * Float32Array.BYTES_PER_ELEMENT, shape.reduce((size, extent) => size * extent, 1));
}

/** A replica's pass as tensors of this thread. @param names parameters whose gradients lie in `buffer`. */
export function passFrom(
  { losses, names }: { readonly losses: LossNumbers; readonly names: readonly string[] }, { places }: ParameterPlaces, buffer: SharedArrayBuffer,
): Pass {
  const upload = (name: string): tf.Tensor => {
    const place = places.get(name);
    if (place === undefined) throw new Error(`a gradient of ${name}, which is no parameter`);
    return tensorOf(partOf(buffer, place), place.shape);
  };
  const terms = Object.fromEntries(Object.entries(losses.terms).map(([name, term]) => [name, tf.scalar(term)]));
  const numbers: LossTerms = { total: tf.scalar(losses.total), terms, rates: losses.rates === null ? null : { ...losses.rates, values: tf.tensor1d(losses.rates.values) } };
  return { gradients: new Map(names.map((name) => [name, upload(name)])), losses: numbers };
}
