import * as tf from '@tensorflow/tfjs-core';

import type { LossInputs } from '../../src/core/distill/total-loss.js';
import type { LifNeuron } from '../../src/core/ops/lif.js';
import type { Readout } from '../../src/core/ops/readout.js';
import { runTidied } from '../../src/core/ops/recompute.js';

/** T = 2, decay ½: a constant current p fires at rate ½ for ¾ and 1, not at all for ¼ and ⅓ (u = p, then p + p/2 − s). */
export const HALF_LEAK: LifNeuron = { timeSteps: 2, decay: 0.5, threshold: 1, reset: 'soft', surrogate: 'atan', surrogateAlpha: 2, detachReset: true };

/** What loss terms see; a test gives only what its term reads. */
export function lossInputs(given: {
  readonly student?: Partial<LossInputs['student']>; readonly teacher?: Partial<LossInputs['teacher']>;
  readonly labels?: readonly number[]; readonly rates?: LossInputs['rates'];
}): LossInputs {
  const nothing = { readout: readoutOf([[0, 0]]), embedding: tf.zeros([1, 1, 2]) as tf.Tensor3D, hidden: [], attention: [], alignment: [] };
  const labels = given.labels ?? [0];
  return {
    student: { ...nothing, ...given.student }, teacher: { ...nothing, ...given.teacher },
    labels: tf.tensor1d([...labels], 'int32'), labelled: labels.filter((label) => label >= 0).length, rates: given.rates ?? { sites: [], groups: [], values: tf.tensor1d([]) }, run: runTidied,
  };
}

/** A readout with these logits: they are its states, and its head is the identity. */
export function readoutOf(logits: readonly (readonly number[])[]): Readout {
  return { states: tf.tensor2d(logits as number[][]), head: tf.eye(logits[0]?.length ?? 0) };
}

/** One attention map (1, heads, 2, 2) from its rows. */
export function maps(...heads: readonly (readonly (readonly number[])[])[]): tf.Tensor4D {
  return tf.tensor4d(heads.flat(2), [1, heads.length, 2, 2]);
}
