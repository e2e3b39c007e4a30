import * as tf from '@tensorflow/tfjs-core';

import { ShapeError } from '../errors.js';

/** Inputs and next tokens of a batch, on the active backend. */
export interface BatchTensors {
  /** (B, L) int32 */ readonly ids: tf.Tensor2D;
  /** (B·L) int32: the token after each input. */ readonly labels: tf.Tensor1D;
}

/**
 * Splits windows of L + 1 tokens into L inputs and L targets.
 * @param batch (B, L + 1) row-major. @param context L. @throws ShapeError when the batch is not a whole number of windows.
 */
export function batchTensors(batch: Int32Array, context: number): BatchTensors {
  const rows = batch.length / (context + 1);
  if (!Number.isInteger(rows) || rows === 0) throw new ShapeError(`a batch of ${batch.length} tokens is no whole number of windows of ${context + 1}`);
  const ids = new Int32Array(rows * context);
  const labels = new Int32Array(rows * context);
  for (let row = 0; row < rows; row++) {
    const start = row * (context + 1);
    ids.set(batch.subarray(start, start + context), row * context);
    labels.set(batch.subarray(start + 1, start + 1 + context), row * context);
  }
  return { ids: tf.tensor2d(ids, [rows, context], 'int32'), labels: tf.tensor1d(labels, 'int32') };
}

/**
 * Mean next-token cross-entropy over equally long windows, run a few at a time.
 * @param windows each of L + 1 tokens. @param rowLosses nats of every target of one batch, (B·L), in a tidy of its own.
 * @returns nats per token, summed in float64. @throws ShapeError without windows, or when their lengths differ.
 */
export async function meanNll(windows: readonly Int32Array[], rowLosses: (batch: BatchTensors) => tf.Tensor1D): Promise<number> {
  const atOnce = 8;
  const length = windows[0]?.length ?? 0;
  if (length === 0) throw new ShapeError('there are no windows to measure a loss on');
  const other = windows.findIndex((window) => window.length !== length);
  if (other >= 0) throw new ShapeError(`window ${other} has ${windows[other]?.length} tokens, window 0 has ${length}`);
  let sum = 0;
  let count = 0;
  for (let start = 0; start < windows.length; start += atOnce) {
    const part = windows.slice(start, start + atOnce);
    const joined = new Int32Array(part.length * length);
    part.forEach((window, i) => joined.set(window, i * length));
    const losses = tf.tidy(() => rowLosses(batchTensors(joined, length - 1)));
    for (const loss of await losses.data()) sum += loss;
    count += losses.size;
    losses.dispose();
  }
  return sum / count;
}
