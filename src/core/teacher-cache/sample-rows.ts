import * as tf from '@tensorflow/tfjs-core';

import { hasKernel, runKernel } from '../ops/kernels.js';
import { sampleDistribution } from './sample.js';

/** How rows of logits are sampled. */
export interface RowSampling {
  /** τ */ readonly temperature: number;
  /** N */ readonly slots: number;
  /** (M, 2): the two numbers of [0, 1) that a row's sample depends on. */ readonly draws: Float64Array;
}

/** Samples of M rows, as `sampleDistribution` draws them. */
export interface SampledLogits {
  /** (M, N) */ readonly ids: ArrayLike<number>;
  /** (M, N): weights in units of 1/65535. */ readonly units: ArrayLike<number>;
  /** (M): of the whole distributions, nats; not finite where the logits are not. */ readonly entropies: Float32Array;
}

/**
 * Samples softmax(logits/τ) of every row: by a kernel where the backend has one, so that nothing of the size of the vocabulary leaves it; else on the host.
 * @param makeLogits gives (M, V), in a tidy.
 */
export function sampleRows(makeLogits: () => tf.Tensor2D, sampling: RowSampling): Promise<SampledLogits> {
  return hasKernel('BispikSampleRows') ? sampleOnBackend(makeLogits, sampling) : sampleOnHost(makeLogits, sampling);
}

async function sampleOnBackend(makeLogits: () => tf.Tensor2D, { temperature, slots, draws }: RowSampling): Promise<SampledLogits> {
  const halves = new Float32Array(2 * draws.length);
  draws.forEach((draw, i) => {
    halves[2 * i] = draw; // rounded; the second number is what that leaves out
    halves[2 * i + 1] = draw - (halves[2 * i] as number);
  });
  const [ids, units, entropies] = await read(() => runKernel('BispikSampleRows', { logits: makeLogits(), uniforms: tf.tensor2d(halves, [draws.length / 2, 4]) }, { slots, temperature }));
  return { ids: ids as Float32Array, units: units as Float32Array, entropies: entropies as Float32Array };
}

/** The reference. */
export async function sampleOnHost(makeLogits: () => tf.Tensor2D, { temperature, slots, draws }: RowSampling): Promise<SampledLogits> {
  const [probabilities, entropies] = await read(() => {
    const logP = tf.logSoftmax(tf.div(makeLogits(), temperature));
    const p = tf.exp(logP);
    return [p, tf.neg(tf.sum(tf.mul(p, logP), 1))];
  }) as [Float32Array, Float32Array];
  const rows = entropies.length;
  const [ids, units, vocabulary] = [new Uint16Array(rows * slots), new Uint16Array(rows * slots), probabilities.length / rows];
  let next = 0;
  const random = { next: () => draws[next++] as number };
  for (let row = 0; row < rows; row++) {
    const target = [row * slots, (row + 1) * slots] as const;
    sampleDistribution(probabilities.subarray(row * vocabulary, (row + 1) * vocabulary), { ids: ids.subarray(...target), units: units.subarray(...target) }, random);
  }
  return { ids, units, entropies };
}

async function read(make: () => tf.Tensor[]): Promise<Float32Array[]> {
  const tensors = tf.tidy(make);
  const values = await Promise.all(tensors.map((tensor) => tensor.data<'float32'>()));
  tf.dispose(tensors);
  return values;
}
