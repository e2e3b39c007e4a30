import * as tf from '@tensorflow/tfjs-core';

import { indicator } from './indicator.js';
import { applyCustomOp, hasKernel, output, runKernel } from './kernels.js';
import type { SurrogateKind } from './surrogate.js';
import { surrogateDerivative } from './surrogate.js';

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
}

/**
 * Spikes of a layer of LIF neurons whose current is gain·x + bias per channel (Eq. 1). A positive gain only rescales the
 * threshold, so at inference it folds into it and no product remains.
 * @returns (T, N, E); differentiable in x, gain and bias.
 */
export function lif(input: LifInput, neuron: LifNeuron): SpikeTensor<tf.Rank.R3> {
  return applyCustomOp({
    inputs: [input.x, input.gain, input.bias],
    forward: (save) => {
      const { spikes, membrane } = lifForward(input, neuron);
      save([input.x, input.gain, membrane]);
      return spikes;
    },
    backward: (dy, saved) => lifBackward(dy, saved, { neuron, onOff: input.onOff }),
  }) as SpikeTensor<tf.Rank.R3>;
}

function lifForward(input: LifInput, neuron: LifNeuron): { spikes: tf.Tensor; membrane: tf.Tensor } {
  const { x, gain, bias, onOff } = input;
  if (hasKernel('BispikLif')) {
    const outputs = runKernel('BispikLif', { x, gain, bias }, { ...lifAttrs(neuron), onOff });
    return { spikes: output(outputs, 0), membrane: output(outputs, 1) };
  }
  const currents = tf.unstack(x, 0).map((xt) => tf.add(tf.mul(onOff ? tf.concat([xt, tf.neg(xt)], 1) : xt, gain), bias));
  const { membranes, spikes } = chargeAndFire(currents, neuron);
  return { spikes: tf.stack(spikes), membrane: tf.stack(membranes) };
}

function lifBackward(dy: tf.Tensor, saved: readonly tf.Tensor[], how: { neuron: LifNeuron; onOff: boolean }): tf.Tensor[] {
  const [x, gain, membrane] = [output(saved, 0), output(saved, 1), output(saved, 2)];
  if (hasKernel('BispikLifGrad')) {
    return runKernel('BispikLifGrad', { dy, x, gain, membrane }, { ...lifAttrs(how.neuron), onOff: how.onOff });
  }
  const dCurrents = backThroughTime(tf.unstack(dy), tf.unstack(membrane), how.neuron);
  const constant = x.shape[0] === 1;
  const dCurrent = constant ? tf.expandDims(tf.addN(dCurrents), 0) : tf.stack(dCurrents);
  const seen = how.onOff ? tf.concat([x, tf.neg(x)], 2) : x;
  let dx = tf.mul(dCurrent, gain);
  if (how.onOff) {
    const [on, off] = tf.split(dx, 2, 2);
    if (on === undefined || off === undefined) throw new Error('the on/off pair needs an even number of channels');
    dx = tf.sub(on, off);
  }
  return [dx, tf.sum(tf.mul(dCurrent, seen), [0, 1]), tf.sum(dCurrent, [0, 1])];
}

/** Spikes of a current that needs no gain and no bias, without a gradient: the rate encoder of the teacher's maps (App. SFA). */
export function encodeRate(current: tf.Tensor, neuron: LifNeuron): tf.Tensor {
  return tf.tidy(() => {
    if (hasKernel('BispikLif')) {
      const width = current.shape[current.rank - 1] ?? 1;
      const x = tf.reshape<tf.Rank.R3>(current, [1, current.size / width, width]);
      const { spikes } = lifForward({ x, gain: tf.ones([width]), bias: tf.zeros([width]), onOff: false }, neuron);
      return tf.reshape(tf.div(tf.sum(spikes, 0), neuron.timeSteps), current.shape);
    }
    const { spikes } = chargeAndFire([current], neuron);
    return tf.div(tf.addN(spikes), neuron.timeSteps);
  });
}
