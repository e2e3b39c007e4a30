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

/** Moments of every parameter; the owner disposes them with `disposeAdam`. */
export interface AdamState {
  /** Updates made so far. */ readonly updates: number;
  /** Running mean of the gradient, per parameter. */ readonly mean: ReadonlyMap<string, tf.Tensor>;
  /** Running mean of its square. */ readonly square: ReadonlyMap<string, tf.Tensor>;
}

export interface AdamInputs {
  readonly parameters: ReadonlyMap<string, tf.Tensor>;
  /** A parameter without a gradient keeps its value and its moments. */ readonly gradients: ReadonlyMap<string, tf.Tensor>;
  readonly state: AdamState;
}

/** Moments of zero for every parameter. */
export function initAdam(parameters: ReadonlyMap<string, tf.Tensor>): AdamState {
  const zeros = (): Map<string, tf.Tensor> => new Map(Array.from(parameters, ([name, { shape }]) => [name, tf.zeros(shape)]));
  return { updates: 0, mean: zeros(), square: zeros() };
}

/**
 * One AdamW update (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019): with g scaled,
 * m' = β₁m + (1 − β₁)g, v' = β₂v + (1 − β₂)g², p' = (1 − ηλ)p − η·m̂/(√v̂ + ε), where m̂ = m'/(1 − β₁ⁿ) and v̂ = v'/(1 − β₂ⁿ).
 * Changes nothing it is given. @returns new values of the parameters that have a gradient, and the next state, which shares the
 * moments of the others; both are the caller's to dispose. Call it outside a tidy.
 */
export function adamUpdate(inputs: AdamInputs, step: AdamStep): { parameters: Map<string, tf.Tensor>; state: AdamState } {
  const updates = inputs.state.updates + 1;
  const update = tf.getKernel('BispikAdamStep', tf.getBackend()) == null ? composedUpdate : fusedUpdate;
  const parameters = new Map<string, tf.Tensor>();
  const mean = new Map(inputs.state.mean);
  const square = new Map(inputs.state.square);
  for (const [name, g] of inputs.gradients) {
    const tensors = { p: tensorOf(inputs.parameters, name), g, m: tensorOf(mean, name), v: tensorOf(square, name) };
    const [p, m, v] = update(tensors, { ...step, updates });
    parameters.set(name, p);
    mean.set(name, m);
    square.set(name, v);
  }
  return { parameters, state: { updates, mean, square } };
}

/** Disposes the moments of a state, except those that `successor` still holds. */
export function disposeAdam(state: AdamState, successor: AdamState | null): void {
  const kept = new Set(successor === null ? [] : [...successor.mean.values(), ...successor.square.values()]);
  for (const tensor of [...state.mean.values(), ...state.square.values()]) {
    if (!kept.has(tensor)) tensor.dispose();
  }
}

type AdamTensors = Record<'p' | 'g' | 'm' | 'v', tf.Tensor>;
type Updated = [p: tf.Tensor, m: tf.Tensor, v: tf.Tensor];

/** All of it in one pass of the backend's own kernel. */
function fusedUpdate(tensors: AdamTensors, step: AdamStep & { updates: number }): Updated {
  const { learningRate, beta1, beta2, epsilon, weightDecay, gradientScale: gradScale, updates } = step;
  const attrs = { learningRate, beta1, beta2, epsilon, weightDecay, gradScale, step: updates };
  return tf.engine().runKernel('BispikAdamStep', { ...tensors }, attrs) as unknown as Updated;
}

function composedUpdate({ p, g, m, v }: AdamTensors, step: AdamStep & { updates: number }): Updated {
  const { learningRate, beta1, beta2, epsilon, weightDecay, gradientScale, updates } = step;
  return tf.tidy(() => {
    const gradient = tf.mul(g, gradientScale);
    const mean = tf.add(tf.mul(m, beta1), tf.mul(gradient, 1 - beta1));
    const square = tf.add(tf.mul(v, beta2), tf.mul(tf.square(gradient), 1 - beta2));
    const root = tf.add(tf.mul(tf.sqrt(square), 1 / Math.sqrt(1 - beta2 ** updates)), epsilon);
    const moved = tf.div(tf.mul(mean, learningRate / (1 - beta1 ** updates)), root);
    return [tf.sub(tf.mul(p, 1 - learningRate * weightDecay), moved), mean, square] as Updated;
  });
}

function tensorOf(tensors: ReadonlyMap<string, tf.Tensor>, name: string): tf.Tensor {
  const tensor = tensors.get(name);
  if (tensor === undefined) throw new Error(`no tensor ${name} beside its gradient`);
  return tensor;
}
