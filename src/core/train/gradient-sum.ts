import * as tf from '@tensorflow/tfjs-core';

import { ownsValues } from '../backend/tensor-values.js';
import { hasKernel, runKernel, sum } from '../ops/kernels.js';

/**
 * Adds the gradients of one more micro-batch to those of the earlier ones: in one call and in place where the backend has a kernel for it and nobody else
 * owns the values. What is given becomes part of `total` or is disposed.
 */
export function addGradients(total: Map<string, tf.Tensor>, more: ReadonlyMap<string, tf.Tensor>): void {
  const inPlace: tf.Tensor[] = [];
  const addsInto = hasKernel('BispikAddInto');
  for (const [name, gradient] of more) {
    const before = total.get(name);
    if (before === undefined) {
      total.set(name, gradient);
    } else if (addsInto && ownsValues(before)) {
      inPlace.push(before, gradient);
    } else {
      total.set(name, sum(before, gradient));
      tf.dispose([before, gradient]);
    }
  }
  if (inPlace.length === 0) return;
  runKernel('BispikAddInto', inPlace, {});
  tf.dispose(inPlace.filter((_, i) => i % 2 === 1));
}
