import * as tf from '@tensorflow/tfjs-core';

import { indicator } from './indicator.js';
import { hasKernel, output, runKernel } from './kernels.js';
import type { SurrogateKind } from './surrogate.js';
import { surrogateDerivative } from './surrogate.js';
import { unrecorded } from './unrecorded.js';

const KERNEL = 'BispikLif';
const GRADIENT_KERNEL = 'BispikLifGrad';
const PLAIN_KERNEL = 'BispikPlainLif';

/** How the membrane is lowered after a spike. `soft` is the paper's Eq. 1. */
export type ResetKind = 'soft' | 'soft-leaked' | 'hard';

/** A leaky integrate-and-fire neuron, the same for every element of a tensor. */
export interface LifNeuron {
  /** T */ readonly timeSteps: number;
  /** Multiplicative leak of the membrane per time step. */ readonly decay: number;
  readonly threshold: number;
  readonly reset: ResetKind;
  readonly surrogate: SurrogateKind;
  readonly surrogateAlpha: number;
  /** True: no gradient flows through the reset. */ readonly detachReset: boolean;
}

/** Spikes: a float32 tensor whose every value is 0 or 1. Only `lif` and `spikingAttention` make them. */
export type SpikeTensor<R extends tf.Rank = tf.Rank> = tf.Tensor<R> & { readonly spikes?: true };

export function lifAttrs(neuron: LifNeuron): tf.NamedAttrMap {
  const { surrogateAlpha, ...attrs } = neuron;
  return { ...attrs, alpha: surrogateAlpha };
}

/**
 * Membrane potentials and spikes of a given current through T time steps, without a gradient (Eq. 1 and its two variants):
 * soft u[t] = I[t] + decay·u[t−1] − threshold·s[t−1]; soft-leaked u[t] = I[t] + decay·(u[t−1] − threshold·s[t−1]);
 * hard u[t] = I[t] + decay·u[t−1]·(1 − s[t−1]); s[t] = [u[t] ≥ threshold].
 * @param currents T tensors of one shape, or one that is repeated T times.
 * @returns T membranes and T spike tensors, owned by the caller (or its tidy).
 */
export function chargeAndFire(currents: readonly tf.Tensor[], neuron: LifNeuron): { membranes: tf.Tensor[]; spikes: tf.Tensor[] } {
  const membranes: tf.Tensor[] = [];
  const spikes: tf.Tensor[] = [];
  for (let t = 0; t < neuron.timeSteps; t++) {
    const current = output(currents, currents.length === 1 ? 0 : t);
    const u = t === 0 ? current : tf.add(current, carriedMembrane(output(membranes, t - 1), output(spikes, t - 1), neuron));
    membranes.push(u);
    spikes.push(indicator(tf.greaterEqual(u, neuron.threshold)));
  }
  return { membranes, spikes };
}

function carriedMembrane(u: tf.Tensor, s: tf.Tensor, neuron: LifNeuron): tf.Tensor {
  const { decay, threshold } = neuron;
  switch (neuron.reset) {
    case 'soft': return tf.sub(tf.mul(u, decay), tf.mul(s, threshold));
    case 'soft-leaked': return tf.mul(tf.sub(u, tf.mul(s, threshold)), decay);
    case 'hard': return tf.mul(tf.mul(u, decay), tf.sub(1, s));
  }
}

/**
 * Gradient of the loss with respect to the currents, given that with respect to the spikes: back-propagation through the T
 * steps with the surrogate derivative (paper, App. BPTT); with `detachReset` the reset is treated as a constant.
 * @returns T gradients, one per time step.
 */
export function backThroughTime(dSpikes: readonly tf.Tensor[], membranes: readonly tf.Tensor[], neuron: LifNeuron): tf.Tensor[] {
  const { decay, threshold } = neuron;
  const gradients: tf.Tensor[] = [];
  for (let t = neuron.timeSteps - 1; t >= 0; t--) {
    const u = output(membranes, t);
    const later = gradients[0];
    let ds = output(dSpikes, t);
    if (later !== undefined && !neuron.detachReset) ds = tf.add(ds, tf.mul(later, resetSlope(u, neuron)));
    let du = tf.mul(ds, surrogateDerivative(tf.sub(u, threshold), neuron.surrogate, neuron.surrogateAlpha));
    if (later !== undefined) {
      const carried = tf.mul(later, decay);
      du = tf.add(du, neuron.reset === 'hard' ? tf.mul(carried, indicator(tf.less(u, threshold))) : carried);
    }
    gradients.unshift(du);
  }
  return gradients;
}

/** ∂u[t+1]/∂s[t] of the three resets. */
function resetSlope(u: tf.Tensor, neuron: LifNeuron): tf.Tensor | number {
  switch (neuron.reset) {
    case 'soft': return -neuron.threshold;
    case 'soft-leaked': return -neuron.decay * neuron.threshold;
    case 'hard': return tf.mul(u, -neuron.decay);
  }
}

/** Input of `lif`. */
export interface LifInput {
  /** (T, N, C), or (1, N, C) for a current that is the same at every time step. */ readonly x: tf.Tensor3D;
  /** (E) */ readonly gain: tf.Tensor1D;
  /** (E) */ readonly bias: tf.Tensor1D;
  /** True: channels 0..C−1 see +x and C..2C−1 see −x, so E = 2C; else E = C. */ readonly onOff: boolean;
  /** Equal blocks of the E neurons whose firing rates are wanted. */ readonly groups: number;
}

/** Output of `lif`. */
export interface LifOutput {
  /** (T, N, E) */ readonly spikes: SpikeTensor<tf.Rank.R3>;
  /** (groups): mean firing rate of each block, spikes per neuron and time step, 0–1. */ readonly rates: tf.Tensor1D;
}

/**
 * A layer of LIF neurons whose current is gain·x + bias per channel (Eq. 1). A positive gain only rescales the threshold, so at
 * inference it folds into it and no product remains. The rates are an output of their own so that their gradient, one number per block,
 * reaches the neurons without being spread over a tensor of the spikes' size.
 * Spikes and rates are differentiable in x, gain and bias; nothing but these three is kept for the backward pass, which computes the
 * membranes once more. `registerLif` must have run for the active backend.
 */
export function lif(input: LifInput, neuron: LifNeuron): LifOutput {
  const { x, gain, bias, onOff, groups } = input;
  const outputs: tf.Tensor | tf.Tensor[] = tf.engine().runKernel(KERNEL, { x, gain, bias }, { ...lifAttrs(neuron), onOff, groups });
  if (!Array.isArray(outputs)) throw new Error(`${KERNEL} must return several outputs`);
  return { spikes: output(outputs, 0), rates: output(outputs, 1) };
}

/** `lif` of neurons without gain and bias, E = C; the same bits as with ones and zeros, which are not made where the backend has a kernel for that. */
export function plainLif({ x, groups }: Pick<LifInput, 'x' | 'groups'>, neuron: LifNeuron): LifOutput {
  const width = x.shape[2];
  if (!hasKernel(PLAIN_KERNEL)) return lif({ x, gain: tf.ones([width]), bias: tf.zeros([width]), onOff: false, groups }, neuron);
  const outputs = runKernel(PLAIN_KERNEL, { x }, { ...lifAttrs(neuron), onOff: false, groups });
  return { spikes: output(outputs, 0), rates: output(outputs, 1) };
}

/** Makes `lif` available on a backend that has no kernel of its own for it, and differentiable everywhere. */
export function registerLif(backendName: string): void {
  if (tf.getKernel(KERNEL, backendName) == null) {
    tf.registerKernel({ kernelName: KERNEL, backendName, kernelFunc: ({ inputs, attrs }) => composedForward(inputs as Inputs, attrsOf(attrs)) });
    tf.registerKernel({ kernelName: GRADIENT_KERNEL, backendName, kernelFunc: ({ inputs, attrs }) => composedBackward(inputs as GradientInputs, attrsOf(attrs)) });
  }
  if (tf.getGradient(KERNEL) == null) tf.registerGradient({ kernelName: KERNEL, inputsToSave: ['x', 'gain', 'bias'], gradFunc });
  if (tf.getGradient(PLAIN_KERNEL) == null) tf.registerGradient({ kernelName: PLAIN_KERNEL, inputsToSave: ['x'], gradFunc: plainGradient });
}

function plainGradient(dy: tf.Tensor | tf.Tensor[], saved: tf.Tensor[], attrs: tf.NamedAttrMap): ReturnType<tf.GradFunc> {
  const [dSpikes, dRates] = dy as [tf.Tensor, tf.Tensor];
  const gradients: tf.Tensor | tf.Tensor[] = tf.engine().runKernel('BispikPlainLifGrad', { dSpikes, dRates, x: output(saved, 0) }, attrs);
  return { x: () => output([gradients].flat(), 0) };
}

function gradFunc(dy: tf.Tensor | tf.Tensor[], saved: tf.Tensor[], attrs: tf.NamedAttrMap): ReturnType<tf.GradFunc> {
  if (!Array.isArray(dy)) throw new Error(`${KERNEL} has several outputs`);
  const [x, gain, bias] = [output(saved, 0), output(saved, 1), output(saved, 2)];
  const gradients: tf.Tensor | tf.Tensor[] = tf.engine().runKernel(GRADIENT_KERNEL, { dSpikes: output(dy, 0), dRates: output(dy, 1), x, gain, bias }, attrs);
  if (!Array.isArray(gradients)) throw new Error(`${GRADIENT_KERNEL} must return three gradients`);
  return { x: () => output(gradients, 0), gain: () => output(gradients, 1), bias: () => output(gradients, 2) };
}

type Inputs = { x: tf.Tensor3D; gain: tf.Tensor1D; bias: tf.Tensor1D };
type GradientInputs = Inputs & { dSpikes: tf.Tensor3D; dRates: tf.Tensor1D };
type Attrs = LifNeuron & { readonly onOff: boolean; readonly groups: number };

function attrsOf(attrs: tf.NamedAttrMap | undefined): Attrs {
  const { alpha, ...rest } = attrs as unknown as Attrs & { alpha: number };
  return { ...rest, surrogateAlpha: alpha };
}

/** What the E neurons see of x before the gain. */
function seenBy(x: tf.Tensor, onOff: boolean): tf.Tensor {
  return onOff ? tf.concat([x, tf.neg(x)], 2) : x;
}

function currentsOf({ x, gain, bias }: Inputs, onOff: boolean): tf.Tensor[] {
  return tf.unstack(tf.add(tf.mul(seenBy(x, onOff), gain), bias));
}

function composedForward(inputs: Inputs, attrs: Attrs): tf.Tensor[] {
  return tf.tidy(() => {
    const spikes = tf.stack(chargeAndFire(currentsOf(inputs, attrs.onOff), attrs).spikes);
    const width = inputs.gain.shape[0];
    const counts = tf.sum(tf.reshape(spikes, [spikes.size / width, width]), 0);
    return [spikes, tf.div(tf.sum(tf.reshape(counts, [attrs.groups, width / attrs.groups]), 1), spikes.size / attrs.groups)];
  });
}

function composedBackward(inputs: GradientInputs, attrs: Attrs): tf.Tensor[] {
  return tf.tidy(() => {
    const { dSpikes, dRates, x, gain } = inputs;
    const perGroup = dSpikes.size / attrs.groups;
    const width = gain.shape[0];
    const fromRates = tf.reshape(tf.tile(tf.expandDims(tf.div(dRates, perGroup), 1), [1, width / attrs.groups]), [width]);
    const { membranes } = chargeAndFire(currentsOf(inputs, attrs.onOff), attrs);
    const dCurrents = backThroughTime(tf.unstack(tf.add(dSpikes, fromRates)), membranes, attrs);
    const dCurrent = x.shape[0] === 1 ? tf.expandDims(tf.addN(dCurrents), 0) : tf.stack(dCurrents);
    const dSeen = tf.mul(dCurrent, gain);
    return [attrs.onOff ? onMinusOff(dSeen) : dSeen, tf.sum(tf.mul(dCurrent, seenBy(x, attrs.onOff)), [0, 1]), tf.sum(dCurrent, [0, 1])];
  });
}

function onMinusOff(pairs: tf.Tensor): tf.Tensor {
  const [on, off] = tf.split(pairs, 2, 2);
  if (on === undefined || off === undefined) throw new Error('the on/off pair needs an even number of channels');
  return tf.sub(on, off);
}

/** Mean over time of the spikes of a current that needs no gain and no bias, without a gradient: the rate encoder of App. SFA. */
export function encodeRate(current: tf.Tensor, neuron: LifNeuron): tf.Tensor {
  if (hasKernel('BispikRateCode')) return output(runKernel('BispikRateCode', { x: current }, lifAttrs(neuron)), 0);
  const [rates] = unrecorded(() => {
    const width = current.shape[current.rank - 1] ?? 1;
    const x = tf.reshape<tf.Rank.R3>(current, [1, current.size / width, width]);
    const { spikes } = plainLif({ x, groups: 1 }, neuron);
    return [tf.reshape(tf.div(tf.sum(spikes, 0), neuron.timeSteps), current.shape)];
  });
  return rates as tf.Tensor;
}
