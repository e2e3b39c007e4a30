import * as tf from '@tensorflow/tfjs-core';

import { indicator } from '../ops/indicator.js';
import { meanOfAll, scale, sumOfAll } from '../ops/reduce.js';
import { crossEntropy, softTargetDivergence } from '../ops/logit-losses.js';
import type { LossTerm } from './total-loss.js';

function rows(logits: tf.Tensor3D): tf.Tensor2D {
  const [batch, length, vocabulary] = logits.shape;
  return tf.reshape(logits, [batch * length, vocabulary]);
}

/** STA: τ²·KL(teacher ‖ student) at temperature τ, summed over the vocabulary, mean over positions. */
export function softTargetLoss(weight: number, temperature: number): LossTerm {
  return {
    name: 'sta',
    weight,
    compute: ({ student, teacher }) =>
      scale(meanOfAll(softTargetDivergence(rows(student.logits), rows(teacher.logits), temperature)), temperature * temperature),
  };
}

/** HTA: cross-entropy of the student's logits against the next token, mean over positions that have one. */
export function hardTargetLoss(weight: number): LossTerm {
  return {
    name: 'hta',
    weight,
    compute: ({ student, labels }) => {
      const valid = tf.sum(indicator(tf.greaterEqual(labels, 0)));
      return tf.div(sumOfAll(crossEntropy(rows(student.logits), labels)), tf.maximum(valid, 1));
    },
  };
}
