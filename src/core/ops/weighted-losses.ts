import * as tf from '@tensorflow/tfjs-core';

import { hasKernel, output, runKernel } from './kernels.js';
import type { RowLosses } from './logit-losses.js';
import { crossEntropy, softTargetDivergence } from './logit-losses.js';
import type { SampledTensors } from './sampled-target.js';
import { sampledTargetDivergence } from './sampled-target.js';

/** What rows of logits are compared with; null: not at all. */
export interface RowTargets {
  /** (M) int32 next tokens; −1 is ignored. */ readonly labels: tf.Tensor1D | null;
  /** (M, V): logits whose softened distribution is to be matched; or a sample of it. */ readonly teacher: tf.Tensor2D | SampledTensors | null;
}

/** How the losses of rows add up. */
export interface RowWeights {
  /** Of the divergence from the teacher. */ readonly soft: number;
  /** Of the cross-entropy; a tensor, because the number of labels is known to the device only. */ readonly hard: tf.Scalar;
  /** τ of the divergence. */ readonly temperature: number;
}

/** Losses of rows, each (M) in nats and 0 where there is nothing to compare with, and the gradient (M, V) of Σ soft·soft[m] + hard·hard[m]. */
export interface WeightedLosses {
  readonly soft: tf.Tensor1D;
  readonly hard: tf.Tensor1D;
  readonly gradient: tf.Tensor2D;
}

/**
 * Both losses of rows of logits and the gradient of their weighted sum; outputs belong to the caller.
 * @param logits (M, V): the caller's to dispose and not to use any more, because a kernel may write the gradient over them.
 */
export function weightedLosses(logits: tf.Tensor2D, targets: RowTargets, weights: RowWeights): WeightedLosses {
  if (hasKernel('BispikHeadLosses') && !isSampled(targets.teacher)) {
    const inputs = {
      logits, hardSlope: weights.hard,
      ...(targets.labels === null ? {} : { labels: targets.labels }), ...(targets.teacher === null ? {} : { teacher: targets.teacher }),
    };
    const outputs = runKernel('BispikHeadLosses', inputs, { softSlope: weights.soft, temperature: weights.temperature });
    return { soft: output(outputs, 0), hard: output(outputs, 1), gradient: output(outputs, 2) };
  }
  return tf.tidy(() => {
    const rows = logits.shape[0];
    const soft = targets.teacher === null ? null : divergence(logits, targets.teacher, weights.temperature);
    const hard = targets.labels === null ? null : crossEntropy(logits, targets.labels);
    const gradients = [
      ...(soft === null ? [] : [tf.mul<tf.Tensor2D>(soft.gradient, weights.soft)]),
      ...(hard === null ? [] : [tf.mul<tf.Tensor2D>(hard.gradient, weights.hard)]),
    ];
    return { soft: soft?.loss ?? tf.zeros<tf.Rank.R1>([rows]), hard: hard?.loss ?? tf.zeros<tf.Rank.R1>([rows]), gradient: tf.addN(gradients) };
  });
}

function isSampled(teacher: RowTargets['teacher']): teacher is SampledTensors {
  return teacher !== null && 'entropy' in teacher;
}

function divergence(logits: tf.Tensor2D, teacher: tf.Tensor2D | SampledTensors, temperature: number): RowLosses {
  return isSampled(teacher) ? sampledTargetDivergence(logits, teacher, temperature) : softTargetDivergence(logits, teacher, temperature);
}
