import * as tf from '@tensorflow/tfjs-core';

import { applyCustomOp } from './kernels.js';
import type { Readout, RowChunk } from './readout.js';
import { chunkRows, readoutLogits, sliceRows } from './readout.js';
import { scaledSum } from './reduce.js';
import type { SampledTensors } from './sampled-target.js';
import { unrecorded } from './unrecorded.js';
import type { RowWeights, WeightedLosses } from './weighted-losses.js';
import { weightedLosses } from './weighted-losses.js';

/** What the student's logits are compared with; constants. */
export interface HeadTargets {
  /** (M) int32 next tokens; −1 is ignored. */ readonly labels: tf.Tensor1D;
  /** How many of them are not −1. */ readonly labelled: number;
  /** Whose softened distribution is to be matched, or a sample of that distribution; needed unless `softWeight` is 0. */ readonly teacher: Readout | SampledTensors | null;
}

/** How the two losses are weighed, and how much memory their logits may take. */
export interface HeadLossOptions {
  readonly softWeight: number;
  readonly hardWeight: number;
  /** τ of the soft targets. */ readonly temperature: number;
  /** Most bytes of logits of one model at a time. */ readonly chunkBytes: number;
}

/** Both losses of a batch. */
export interface HeadLosses {
  /** soft + hard, differentiable in the student's states and head. */ readonly total: tf.Scalar;
  /** softWeight·τ²·KL(teacher ‖ student) at temperature τ (Hinton et al., 2015), mean over rows; a constant. */ readonly soft: tf.Scalar;
  /** hardWeight·cross-entropy, mean over the rows that have a label; a constant. */ readonly hard: tf.Scalar;
}

/**
 * Losses on the logits states·headᵀ that never hold them all. Rows are walked through in chunks: a chunk's logits become its losses and the
 * gradient of their weighted sum, and this at once the gradients of states and head, which alone are kept for the backward pass.
 * @returns scalars owned by the caller's tidy.
 */
export function headLosses(student: Readout, targets: HeadTargets, options: HeadLossOptions): HeadLosses {
  const [soft, hard, states, head] = unrecorded(() => walkRows(student, targets, options)) as [tf.Scalar, tf.Scalar, tf.Tensor, tf.Tensor];
  const total = applyCustomOp({
    inputs: [student.states, student.head],
    forward: (save) => {
      save([states, head]);
      return tf.add(soft, hard);
    },
    backward: (dy, gradients) => gradients.map((gradient) => tf.mul(gradient, dy)),
  }) as tf.Scalar;
  tf.dispose([states, head]); // What is saved goes as soon as the backward pass has used it.
  return { total, soft, hard };
}

/** A walk through the rows of a batch; a target that is null has the weight 0. */
interface Walk {
  readonly student: Readout;
  readonly labels: tf.Tensor1D | null;
  readonly teacher: Readout | SampledTensors | null;
  readonly weights: RowWeights;
}

/** What remains of a chunk of rows. */
interface ChunkResult extends Pick<WeightedLosses, 'soft' | 'hard'> {
  /** (count, D): gradient of the rows' states. */ readonly states: tf.Tensor2D;
  /** (V, D): gradient of the head, earlier chunks included. */ readonly head: tf.Tensor;
}

/** soft, hard, and the gradients of states (M, D) and head (V, D). */
function walkRows(student: Readout, targets: HeadTargets, options: HeadLossOptions): tf.Tensor[] {
  const { softWeight, hardWeight, temperature, chunkBytes } = options;
  const rows = student.states.shape[0];
  const weights: RowWeights = { soft: softWeight * temperature ** 2 / rows, hard: hardWeight / Math.max(1, targets.labelled), temperature };
  const walk: Walk = { student, labels: hardWeight === 0 ? null : targets.labels, teacher: softWeight === 0 ? null : targets.teacher, weights };
  const parts: Pick<ChunkResult, 'soft' | 'hard' | 'states'>[] = [];
  let head: tf.Tensor | null = null;
  for (const chunk of chunkRows({ rows, vocabulary: student.head.shape[0], chunkBytes })) {
    const part = walkChunk(walk, chunk, head);
    head?.dispose();
    head = part.head;
    parts.push(part);
  }
  const joined = (key: 'soft' | 'hard' | 'states'): tf.Tensor => joinRows<tf.Tensor>(parts.map((part) => part[key]));
  const weighed = (key: 'soft' | 'hard'): tf.Tensor => scaledSum(joined(key), [0], weights[key]);
  return [weighed('soft'), weighed('hard'), joined('states'), head as unknown as tf.Tensor];
}

/** Losses and gradients of a chunk of rows. @param head gradient of the head so far. */
function walkChunk({ student, labels, teacher, weights }: Walk, chunk: RowChunk, head: tf.Tensor | null): ChunkResult {
  return tf.tidy(() => {
    const own = sliceReadout(student, chunk);
    // In a tidy of their own: the logits are gone when the products begin.
    const { soft, hard, gradient } = tf.tidy(() => {
      const targets = { labels: labels === null ? null : sliceRows(labels, chunk), teacher: teacher === null ? null : teacherRows(teacher, chunk) };
      return { ...weightedLosses(readoutLogits(own), targets, weights) };
    });
    const ofHead = tf.matMul(gradient, own.states, true);
    return { soft, hard, states: tf.matMul<tf.Tensor2D>(gradient, student.head), head: head === null ? ofHead : tf.add(head, ofHead) };
  });
}

function sliceReadout({ states, head }: Readout, chunk: RowChunk): Readout {
  return { states: sliceRows(states, chunk), head };
}

function teacherRows(teacher: Readout | SampledTensors, chunk: RowChunk): tf.Tensor2D | SampledTensors {
  if ('head' in teacher) return readoutLogits(sliceReadout(teacher, chunk));
  return { ids: sliceRows(teacher.ids, chunk), weights: sliceRows(teacher.weights, chunk), entropy: sliceRows(teacher.entropy, chunk) };
}

function joinRows<X extends tf.Tensor>(parts: readonly X[]): X {
  return parts.length === 1 ? parts[0] as X : tf.concat([...parts]);
}
