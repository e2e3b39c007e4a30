import * as tf from '@tensorflow/tfjs-core';

import { checkTokenIds } from '../corpus/token-ids.js';
import { ShapeError } from '../errors.js';
import type { ModelShape, TokenIds } from '../types.js';

/**
 * Equally long sequences as one tensor (B, L) int32.
 * @throws ShapeError when they differ in length, are empty, exceed the context, or hold an id outside the vocabulary.
 */
export function tokenTensor(sequences: readonly TokenIds[], shape: ModelShape, offset: number): tf.Tensor2D {
  const length = sequences[0]?.length ?? 0;
  if (sequences.length === 0) throw new ShapeError('there are no tokens to run the model on');
  const flat = new Int32Array(sequences.length * length);
  sequences.forEach((sequence, row) => {
    if (sequence.length !== length) throw new ShapeError(`sequence ${row} has ${sequence.length} tokens, sequence 0 has ${length}: one batch needs equal lengths`);
    checkTokenIds(sequence, shape, offset);
    flat.set(sequence, row * length);
  });
  return tf.tensor2d(flat, [sequences.length, length], 'int32');
}

/** Splits logits (B, L, V) into one (L, V) array per sequence. */
export async function logitRows(logits: tf.Tensor3D): Promise<Float32Array[]> {
  const [batch, length, vocabulary] = logits.shape;
  const values = (await logits.data()) as Float32Array;
  return Array.from({ length: batch }, (_, row) => values.slice(row * length * vocabulary, (row + 1) * length * vocabulary));
}
