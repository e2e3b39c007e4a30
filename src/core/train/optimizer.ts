import * as tf from '@tensorflow/tfjs-core';

import { ownValues } from '../backend/tensor-values.js';
import { hasKernel, runKernel } from '../ops/kernels.js';

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

/** Moments of every parameter, updated where they lie; whoever holds them disposes them. */
export interface AdamState {
  /** Updates made so far. */ readonly updates: number;
  /** Running mean of the gradient, per parameter. */ readonly mean: ReadonlyMap<string, tf.Variable>;
  /** Running mean of its square. */ readonly square: ReadonlyMap<string, tf.Variable>;
}

/** What an update changes. */
export interface AdamTarget {
  readonly parameters: ReadonlyMap<string, tf.Variable>;
  /** By parameter: what no value of it is less than after an update; one that is absent has no bound. */ readonly lowerBounds: ReadonlyMap<string, number>;
}

/** A parameter, its gradient and its two moments, all of one shape, and the parameter's bound. */
interface One { readonly p: tf.Variable; readonly g: tf.Tensor; readonly m: tf.Variable; readonly v: tf.Variable; readonly lowerBound: number }

/** Moments of zero for every parameter. */
export function initAdam(parameters: ReadonlyMap<string, tf.Tensor>): AdamState {
  const zeros = (): Map<string, tf.Variable> => new Map(Array.from(parameters, ([name, { shape }]) => [name, momentOf(() => tf.zeros(shape))]));
  return { updates: 0, mean: zeros(), square: zeros() };
}

/** A moment that starts with the values of a tensor made here. */
export function momentOf(make: () => tf.Tensor): tf.Variable {
  return tf.tidy(() => tf.variable(make(), false));
}

/**
 * One AdamW update (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019) of every parameter that has a gradient: with g scaled,
 * m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², p ← max((1 − ηλ)p − η·m̂/(√v̂ + ε), bound), where m̂ = m/(1 − β₁ⁿ), v̂ = v/(1 − β₂ⁿ) and n counts updates from 1.
 * Parameters and moments stay the same variables; tensors that shared their values keep the ones from before. Gradients stay as they are and the caller's.
 * @returns the state after the update, with the moments of the one given, which is used up.
 */
export function adamUpdate(target: AdamTarget, { gradients, state }: { readonly gradients: ReadonlyMap<string, tf.Tensor>; readonly state: AdamState }, step: AdamStep): AdamState {
  const updates = state.updates + 1;
  const all = Array.from(gradients, ([name, g]): One => ({
    p: variableOf(target.parameters, name), g, m: variableOf(state.mean, name), v: variableOf(state.square, name), lowerBound: target.lowerBounds.get(name) ?? -Infinity,
  }));
  if (hasKernel('BispikAdamInPlace')) updateInPlace(all, step, updates);
  else replaceEach(all, hasKernel('BispikAdamStep') ? (one) => fusedUpdate(one, step, updates) : (one) => composedUpdate(one, step, updates));
  return { ...state, updates };
}

function variableOf(variables: ReadonlyMap<string, tf.Variable>, name: string): tf.Variable {
  const variable = variables.get(name);
  if (variable === undefined) throw new Error(`no tensor ${name} beside its gradient`);
  return variable;
}

function attributes({ gradientScale: gradScale, ...step }: AdamStep, update: number): Record<string, number> {
  const { learningRate, beta1, beta2, epsilon, weightDecay } = step;
  return { learningRate, beta1, beta2, epsilon, weightDecay, gradScale, step: update };
}

/** All parameters in one call, written over. */
function updateInPlace(all: readonly One[], step: AdamStep, update: number): void {
  const inputs = all.flatMap(({ p, g, m, v }) => {
    for (const written of [p, m, v]) ownValues(written);
    return [p, g, m, v];
  });
  const lowerBounds = all.map(({ lowerBound }) => lowerBound);
  runKernel('BispikAdamInPlace', inputs, { ...attributes(step, update), lowerBounds });
}

type Updated = [p: tf.Tensor, m: tf.Tensor, v: tf.Tensor];

/** One parameter after the other: new values and moments of all of them at once would be three times the weights. */
function replaceEach(all: readonly One[], next: (one: One) => Updated): void {
  for (const one of all) {
    const updated = next(one);
    [one.p, one.m, one.v].forEach((variable, i) => { variable.assign(updated[i] as tf.Tensor); });
    tf.dispose(updated);
  }
}

/** All of it in one pass of the backend's own kernel. */
function fusedUpdate({ p, g, m, v, lowerBound }: One, step: AdamStep, update: number): Updated {
  return runKernel('BispikAdamStep', { p, g, m, v }, { ...attributes(step, update), lowerBound }) as Updated;
}

function composedUpdate({ p, g, m, v, lowerBound }: One, step: AdamStep, update: number): Updated {
  const { learningRate, beta1, beta2, epsilon, weightDecay, gradientScale } = step;
  return tf.tidy(() => {
    const gradient = tf.mul(g, gradientScale);
    const mean = tf.add(tf.mul(m, beta1), tf.mul(gradient, 1 - beta1));
    const square = tf.add(tf.mul(v, beta2), tf.mul(tf.square(gradient), 1 - beta2));
    const root = tf.add(tf.mul(tf.sqrt(square), 1 / Math.sqrt(1 - beta2 ** update)), epsilon);
    const moved = tf.sub(tf.mul(p, 1 - learningRate * weightDecay), tf.div(tf.mul(mean, learningRate / (1 - beta1 ** update)), root));
    return [lowerBound === -Infinity ? moved : tf.maximum(moved, lowerBound), mean, square] as Updated;
  });
}
