import * as tf from '@tensorflow/tfjs-core';

import { hasKernel, output, runKernel } from './kernels.js';
import type { RowLosses } from './logit-losses.js';
import { crossEntropy, softTargetDivergence } from './logit-losses.js';
import type { SampledTensors } from './sampled-target.js';
import { sampledTargetDivergence, sparseShares } from './sampled-target.js';

/** What rows of logits are compared with; null: not at all. */
export interface RowTargets {
  /** (M) int32 next tokens; −1 is ignored. */ readonly labels: tf.Tensor1D | null;
  /** (M, V): logits whose softened distribution is to be matched; or a sample of it. */ readonly teacher: tf.Tensor2D | SampledTensors | null;
}

/** How the losses of rows add up. */
export interface RowWeights {
  /** Of the divergence from the teacher. */ readonly soft: number;
  /** Of the cross-entropy. */ readonly hard: number;
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
  const { teacher } = targets;
  if (hasKernel('BispikHeadLosses') && isSampled(teacher)) return sampledLosses(logits, { ...targets, teacher }, weights);
  if (hasKernel('BispikHeadLosses')) {
    const hardSlope = tf.scalar(weights.hard);
    const inputs = {
      logits, hardSlope,
      ...(targets.labels === null ? {} : { labels: targets.labels }), ...(teacher === null ? {} : { teacher: teacher as tf.Tensor2D }),
    };
    const outputs = runKernel('BispikHeadLosses', inputs, { softSlope: weights.soft, temperature: weights.temperature });
    hardSlope.dispose();
    return { soft: output(outputs, 0), hard: output(outputs, 1), gradient: output(outputs, 2) };
  }
  return tf.tidy(() => {
    const rows = logits.shape[0];
    const soft = teacher === null ? null : divergence(logits, teacher, weights.temperature);
    const hard = targets.labels === null ? null : crossEntropy(logits, targets.labels);
    const gradients = [
      ...(soft === null ? [] : [tf.mul<tf.Tensor2D>(soft.gradient, weights.soft)]),
      ...(hard === null ? [] : [tf.mul<tf.Tensor2D>(hard.gradient, weights.hard)]),
    ];
    return { soft: soft?.loss ?? tf.zeros<tf.Rank.R1>([rows]), hard: hard?.loss ?? tf.zeros<tf.Rank.R1>([rows]), gradient: tf.addN(gradients) };
  });
}

/**
 * Both losses by the kernel for labels, which writes weighted gradients over its logits: as in `sampledTargetDivergence`, the divergence is a cross-entropy with the
 * first id plus what the sample has beyond it. Five passes over (M, V) instead of eleven.
 */
function sampledLosses(logits: tf.Tensor2D, { labels, teacher }: { readonly labels: tf.Tensor1D | null; readonly teacher: SampledTensors }, weights: RowWeights): WeightedLosses {
  return tf.tidy(() => {
    const [rows, vocabulary] = logits.shape;
    const { soft, hard, temperature } = weights;
    const { first, places, shares } = sparseShares(teacher, vocabulary);
    const beyond = tf.div(tf.sum(tf.mul(tf.gather(tf.reshape(logits, [rows * vocabulary]), places), shares), 1), temperature);
    const [divergence, softGradient] = byLabels(tf.div(logits, temperature), first, soft / temperature);
    const sparse = tf.scatterND(tf.reshape(places, [places.size, 1]), tf.reshape(tf.mul(shares, -soft / temperature), [shares.size]), [rows * vocabulary]);
    const gradients = [softGradient, tf.reshape<tf.Rank.R2>(sparse, [rows, vocabulary])];
    const ofSoft = tf.sub<tf.Tensor1D>(tf.sub(divergence, beyond), teacher.entropy);
    if (labels === null) return { soft: ofSoft, hard: tf.zeros<tf.Rank.R1>([rows]), gradient: tf.addN(gradients) };
    const [ofHard, hardGradient] = byLabels(logits, labels, hard);
    return { soft: ofSoft, hard: ofHard, gradient: tf.addN([...gradients, hardGradient]) };
  });
}

/** Cross-entropies (M) and slope times their gradient, written over the logits. */
function byLabels(logits: tf.Tensor2D, labels: tf.Tensor1D, slope: number): [losses: tf.Tensor1D, gradient: tf.Tensor2D] {
  const outputs = runKernel('BispikHeadLosses', { logits, labels, hardSlope: tf.scalar(slope) }, { softSlope: 0, temperature: 1 });
  return [output(outputs, 1), output(outputs, 2)];
}

function isSampled(teacher: RowTargets['teacher']): teacher is SampledTensors {
  return teacher !== null && 'entropy' in teacher;
}

function divergence(logits: tf.Tensor2D, teacher: tf.Tensor2D | SampledTensors, temperature: number): RowLosses {
  return isSampled(teacher) ? sampledTargetDivergence(logits, teacher, temperature) : softTargetDivergence(logits, teacher, temperature);
}
