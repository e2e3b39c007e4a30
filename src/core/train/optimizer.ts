import * as tf from '@tensorflow/tfjs-core';

/** Constants of AdamW. */
export interface AdamSettings {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Decoupled: multiplied by the learning rate, never by the gradient's scale. */ readonly weightDecay: number;
}

/** What changes from update to update. */
export interface AdamStep extends AdamSettings {
  readonly learningRate: number;
  /** Every gradient is multiplied by it first: clipping and averaging in one factor. */ readonly gradientScale: number;
}

/** Moments of every parameter; whoever holds them disposes them. */
export interface AdamState {
  /** Updates made so far. */ readonly updates: number;
  /** Running mean of the gradient, per parameter. */ readonly mean: ReadonlyMap<string, tf.Tensor>;
  /** Running mean of its square. */ readonly square: ReadonlyMap<string, tf.Tensor>;
}

/** A parameter, its gradient and its two moments, all of one shape. */
export type AdamTensors = Readonly<Record<'p' | 'g' | 'm' | 'v', tf.Tensor>>;

/** Moments of zero for every parameter. */
export function initAdam(parameters: ReadonlyMap<string, tf.Tensor>): AdamState {
  const zeros = (): Map<string, tf.Tensor> => new Map(Array.from(parameters, ([name, { shape }]) => [name, tf.zeros(shape)]));
  return { updates: 0, mean: zeros(), square: zeros() };
}

/**
 * One AdamW update (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019): with g scaled,
 * m' = β₁m + (1 − β₁)g, v' = β₂v + (1 − β₂)g², p' = (1 − ηλ)p − η·m̂/(√v̂ + ε), where m̂ = m'/(1 − β₁ⁿ) and v̂ = v'/(1 − β₂ⁿ).
 * Changes nothing it is given. @param update n, from 1. @returns p', m' and v', the caller's. Call it outside a tidy.
 */
export function adamUpdate(tensors: AdamTensors, step: AdamStep, update: number): Updated {
  return tf.getKernel('BispikAdamStep', tf.getBackend()) == null ? composedUpdate(tensors, step, update) : fusedUpdate(tensors, step, update);
}

type Updated = [p: tf.Tensor, m: tf.Tensor, v: tf.Tensor];

/** All of it in one pass of the backend's own kernel. */
function fusedUpdate(tensors: AdamTensors, step: AdamStep, update: number): Updated {
  const { learningRate, beta1, beta2, epsilon, weightDecay, gradientScale: gradScale } = step;
  const attrs = { learningRate, beta1, beta2, epsilon, weightDecay, gradScale, step: update };
  return tf.engine().runKernel('BispikAdamStep', { ...tensors }, attrs) as unknown as Updated;
}

function composedUpdate({ p, g, m, v }: AdamTensors, step: AdamStep, update: number): Updated {
  const { learningRate, beta1, beta2, epsilon, weightDecay, gradientScale } = step;
  return tf.tidy(() => {
    const gradient = tf.mul(g, gradientScale);
    const mean = tf.add(tf.mul(m, beta1), tf.mul(gradient, 1 - beta1));
    const square = tf.add(tf.mul(v, beta2), tf.mul(tf.square(gradient), 1 - beta2));
    const root = tf.add(tf.mul(tf.sqrt(square), 1 / Math.sqrt(1 - beta2 ** update)), epsilon);
    const moved = tf.div(tf.mul(mean, learningRate / (1 - beta1 ** update)), root);
    return [tf.sub(tf.mul(p, 1 - learningRate * weightDecay), moved), mean, square] as Updated;
  });
}
