import * as tf from '@tensorflow/tfjs-core';

import { withHalfProducts } from '../backend/product-precision.js';
import type { TokenBatch } from '../corpus/batches.js';
import { backward } from './backward.js';
import type { LossTerms, TrainingTask } from './task.js';

/** What one micro-batch gives; all tensors are the receiver's. */
export interface Pass {
  /** By parameter; one that the loss does not depend on is absent. */ readonly gradients: ReadonlyMap<string, tf.Tensor>;
  readonly losses: LossTerms;
}

/**
 * Runs the micro-batches of a step and the windows of a validation, by one thread or several. What it gives does not depend on how
 * many there are, bit for bit: every micro-batch is computed alone, and they are handed over in order.
 */
export interface PassRunner {
  readonly threads: number;
  /** Forward and backward pass of every micro-batch with the task's present parameters; `take` receives them in order. */
  run(task: TrainingTask, batches: readonly TokenBatch[], take: (pass: Pass) => void): Promise<void>;
  /** As the task's own `validNll`. */
  validNll(task: TrainingTask, windows: readonly Int32Array[]): Promise<number>;
  /** Ends the threads; nothing can be run afterwards. */
  dispose(): Promise<void>;
}

/** This thread alone. */
export const soloRunner: PassRunner = {
  threads: 1,
  run: async (task, batches, take) => { for (const batch of batches) take(runPass(task, batch)); },
  validNll: (task, windows) => task.validNll(windows),
  dispose: () => Promise.resolve(),
};

/** This thread alone, with matrix products of inputs rounded to float16; validation stays in float32, which is what students run in. */
export const mixedRunner: PassRunner = {
  ...soloRunner,
  run: async (task, batches, take) => { for (const batch of batches) take(withHalfProducts(() => runPass(task, batch))); },
};

/** One micro-batch forward and backward. */
export function runPass(task: TrainingTask, batch: TokenBatch): Pass {
  let losses: LossTerms | undefined;
  const { gradients } = backward(task.parameters, () => {
    losses = task.losses(batch);
    tensorsOf(losses).forEach((tensor) => tf.keep(tensor));
    return losses.total;
  });
  return { gradients, losses: losses as LossTerms };
}

/** Total, terms and rates, in this order. */
export function tensorsOf({ total, terms, rates }: LossTerms): tf.Tensor[] {
  return [total, ...Object.values(terms), ...(rates === null ? [] : [rates.values])];
}
