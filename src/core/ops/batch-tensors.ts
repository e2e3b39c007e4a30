import * as tf from '@tensorflow/tfjs-core';

import { ShapeError } from '../errors.js';

/** Inputs and next tokens of a batch, on the active backend. */
export interface BatchTensors {
  /** (B, L) int32 */ readonly ids: tf.Tensor2D;
  /** (B·L) int32: the token after each input; −1 is none. */ readonly labels: tf.Tensor1D;
  /** How many of the labels are tokens. */ readonly labelled: number;
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
  const labelled = labels.reduce((count, label) => count + Number(label >= 0), 0);
  return { ids: tf.tensor2d(ids, [rows, context], 'int32'), labels: tf.tensor1d(labels, 'int32'), labelled };
}

/** Windows of one forward pass of `meanNll`. */
export const WINDOWS_AT_ONCE = 8;

/** Mean over windows from the means of groups of them, in order; of a single group its own. */
export function joinMeans(groups: readonly { readonly mean: number; readonly windows: number }[]): number {
  if (groups.length === 1) return (groups[0] as { mean: number }).mean;
  const total = groups.reduce((sum, { windows }) => sum + windows, 0);
  return groups.reduce((sum, { mean, windows }) => sum + mean * windows, 0) / total;
}

/**
 * Mean next-token cross-entropy over equally long windows, run `WINDOWS_AT_ONCE` at a time: the mean of the groups' means, so that groups may be measured apart.
 * @param windows each of L + 1 tokens. @param rowLosses nats of every target of one batch, (B·L), in a tidy of its own.
 * @returns nats per token, summed in float64. @throws ShapeError without windows, or when their lengths differ.
 */
export async function meanNll(windows: readonly Int32Array[], rowLosses: (batch: BatchTensors) => tf.Tensor1D): Promise<number> {
  const length = windows[0]?.length ?? 0;
  if (length === 0) throw new ShapeError('there are no windows to measure a loss on');
  const other = windows.findIndex((window) => window.length !== length);
  if (other >= 0) throw new ShapeError(`window ${other} has ${windows[other]?.length} tokens, window 0 has ${length}`);
  const groups: { mean: number; windows: number }[] = [];
  for (let start = 0; start < windows.length; start += WINDOWS_AT_ONCE) {
    const part = windows.slice(start, start + WINDOWS_AT_ONCE);
    const joined = new Int32Array(part.length * length);
    part.forEach((window, i) => joined.set(window, i * length));
    const losses = tf.tidy(() => rowLosses(batchTensors(joined, length - 1)));
    let sum = 0;
    for (const loss of await losses.data()) sum += loss;
    groups.push({ mean: sum / losses.size, windows: part.length });
    losses.dispose();
  }
  return joinMeans(groups);
}
