import * as tf from '@tensorflow/tfjs-core';

import type { TokenBatch } from '../corpus/batches.js';
import { backward } from './backward.js';
import { readNorms } from './gradient-norm.js';
import type { TrainingTask } from './task.js';

/**
 * Gradient norm of each single loss term over all parameters (spec: the instrument for a term that dominates the clipping
 * budget), by one forward and backward pass per term. A term that reaches no parameter has the norm 0.
 * @param names keys of the task's terms.
 */
export async function termNorms(task: TrainingTask, batch: TokenBatch, names: readonly string[]): Promise<Record<string, number>> {
  const norms: Record<string, number> = {};
  for (const name of names) {
    const { value, gradients } = backward(task.parameters, () => task.termLoss(batch, name));
    norms[name] = (await readNorms(gradients, [])).norms.total;
    tf.dispose([value, ...gradients.values()]);
  }
  return norms;
}
