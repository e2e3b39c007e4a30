import type * as tf from '@tensorflow/tfjs-core';

import { squaredError } from '../ops/reduce.js';
import type { LossTerm } from './total-loss.js';

/** From the student's (B, L, D) features to the teacher's width; the identity where the widths agree. */
export type Projection = (features: tf.Tensor3D) => tf.Tensor3D;

/** EA: mean-squared error between the unscaled student embedding and the teacher's token + position embedding. */
export function embeddingLoss(weight: number, project: Projection): LossTerm {
  return {
    name: 'ea',
    weight,
    compute: ({ student, teacher }) => squaredError(project(student.embedding), teacher.embedding, 1 / teacher.embedding.size),
  };
}
