import * as tf from '@tensorflow/tfjs-core';

import { indicator } from './indicator.js';
import { attentionDensity, densityFactor } from './firing-rate.js';
import { output } from './kernels.js';
import { isAbsentGradient, spareAbsentGradients } from './reverse-pass.js';
import type { LifNeuron, SpikeTensor } from './lif.js';
import { backThroughTime, chargeAndFire, lifAttrs } from './lif.js';

const KERNEL = 'BispikSpikingAttention';
const GRADIENT_KERNEL = 'BispikSpikingAttentionGrad';

/** Input of `spikingAttention`. */
export interface AttentionInput {
  /** (T, B, L, 3D): query, key and value spikes side by side. */ readonly qkv: SpikeTensor<tf.Rank.R4>;
  /** (H) */ readonly gain: tf.Tensor1D;
  /** (H, R), R ≥ L: current added for a key `distance` tokens back. */ readonly distanceBias: tf.Tensor2D;
  readonly heads: number;
}

/** Output of `spikingAttention`. */
export interface AttentionOutput {
  /** (T, B, L, D): how many of the keys attended to carry a spike in this channel; integers 0…L. */ readonly values: tf.Tensor4D;
  /** (B, H, L, L): the attention spikes' mean over time; 0 for future keys. */ readonly meanMap: tf.Tensor4D;
  /** (B, H, L): attention spikes of each query, over all keys and time steps; integers 0…T·(i + 1). */ readonly counts: tf.Tensor3D;
  /** (1): attention spikes per causal pair and time step, 0…1. */ readonly density: tf.Tensor1D;
}

/**
 * Softmax-free spiking attention (paper, Algorithm 1): the overlap counts q·k of binary queries and keys, plus a current per
 * head and distance, charge one LIF neuron per causal pair; its spikes a select the values, Σ_j a·v_j. No exp, no division,
 * no real-valued product at inference (the gain folds into the threshold).
 * Deviation: the distance current is ours; without it the student stays at bigram level (docs/log.md).
 * Differentiable in qkv, gain and distanceBias. `registerSpikingAttention` must have run for the active backend.
 */
export function spikingAttention(input: AttentionInput, neuron: LifNeuron): AttentionOutput {
  const { qkv, gain, distanceBias, heads } = input;
  const outputs: tf.Tensor | tf.Tensor[] = tf.engine().runKernel(KERNEL, { qkv, gain, distanceBias }, { ...lifAttrs(neuron), heads });
  if (!Array.isArray(outputs)) throw new Error(`${KERNEL} must return several outputs`);
  return { values: output(outputs, 0), meanMap: output(outputs, 1), counts: output(outputs, 2), density: output(outputs, 3) };
}

/** Makes `spikingAttention` available on a backend that has no kernel of its own for it, and differentiable everywhere. */
export function registerSpikingAttention(backendName: string): void {
  if (tf.getKernel(KERNEL, backendName) == null) {
    tf.registerKernel({ kernelName: KERNEL, backendName, kernelFunc: ({ inputs, attrs }) => composedForward(inputs as Inputs, attrsOf(attrs)) });
    tf.registerKernel({ kernelName: GRADIENT_KERNEL, backendName, kernelFunc: ({ inputs, attrs }) => composedBackward(inputs as GradientInputs, attrsOf(attrs)) });
  }
  spareAbsentGradients(KERNEL); // nothing ever depends on the membranes, and not all else is always used
  if (tf.getGradient(KERNEL) == null) {
    tf.registerGradient({
      kernelName: KERNEL, inputsToSave: ['qkv', 'gain', 'distanceBias'], outputsToSave: [false, false, false, false, true],
      gradFunc: (dy, [qkv, gain, distanceBias, membrane], attrs) =>
        attentionGradients({ kernelName: GRADIENT_KERNEL, dy, names: ['dMeanMap', 'dCounts', 'dDensity'], saved: { qkv, gain, distanceBias, membrane } as tf.NamedTensorMap, attrs }),
    });
  }
}

/** The gradient of a kernel of spiking attention whose first output are the values. */
interface AttentionGradient {
  /** The kernel that computes it. */ readonly kernelName: string;
  readonly dy: tf.Tensor | tf.Tensor[];
  /** What it calls the gradients of the outputs behind the values, all of which it does without where nothing depends on them. */ readonly names: readonly string[];
  /** qkv, gain, distanceBias, and what else it reads. */ readonly saved: tf.NamedTensorMap;
  readonly attrs: tf.NamedAttrMap;
}

/** Gradients of qkv, gain and distanceBias. */
export function attentionGradients({ kernelName, dy, names, saved, attrs }: AttentionGradient): ReturnType<tf.GradFunc> {
  const { qkv, distanceBias } = saved as { qkv: tf.Tensor4D; distanceBias: tf.Tensor2D };
  const [dValues, ...others] = dy as [tf.Tensor, ...tf.Tensor[]];
  const given = names.flatMap((name, i) => (isAbsentGradient(others[i] as tf.Tensor) ? [] : [[name, others[i]] as const]));
  const values = isAbsentGradient(dValues) ? tf.fill([...qkv.shape.slice(0, 3), qkv.shape[3] / 3], 0) : dValues;
  const gradients = tf.engine().runKernel(kernelName, { dValues: values, ...Object.fromEntries(given), ...saved } as tf.NamedTensorMap, { ...attrs, R: distanceBias.shape[1] }) as unknown as tf.Tensor[];
  return { qkv: () => output(gradients, 0), gain: () => output(gradients, 1), distanceBias: () => output(gradients, 2) };
}

type Inputs = { qkv: tf.Tensor4D; gain: tf.Tensor1D; distanceBias: tf.Tensor2D };
type GradientInputs = { dValues: tf.Tensor4D; dMeanMap?: tf.Tensor4D; dCounts?: tf.Tensor3D; dDensity?: tf.Tensor1D; qkv: tf.Tensor4D; gain: tf.Tensor1D; membrane: tf.Tensor5D };
type Attrs = LifNeuron & { readonly heads: number; readonly R: number };

function attrsOf(attrs: tf.NamedAttrMap | undefined): Attrs {
  const { alpha, ...rest } = attrs as unknown as Attrs & { alpha: number };
  return { ...rest, surrogateAlpha: alpha };
}

/** (T, B, L, 3D) → query, key and value, each (T·B, H, L, K). Rank 4 at most: WebGPU transposes no more at T = 1. */
function splitHeads(qkv: tf.Tensor4D, heads: number): [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D] {
  const parts = tf.split(qkv, 3, 3).map((part) => toHeads(part as tf.Tensor4D, heads));
  return [output(parts, 0), output(parts, 1), output(parts, 2)];
}

/** (T, B, L, D) → (T·B, H, L, K). */
function toHeads(x: tf.Tensor4D, heads: number): tf.Tensor4D {
  const [timeSteps, batch, length, width] = x.shape;
  return tf.transpose(tf.reshape(x, [timeSteps * batch, length, heads, width / heads]), [0, 2, 1, 3]);
}

/** (T·B, H, L, K) → (T, B, L, D). */
function joinHeads(x: tf.Tensor4D, timeSteps: number): tf.Tensor4D {
  const [rows, heads, length, width] = x.shape;
  return tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [timeSteps, rows / timeSteps, length, heads * width]);
}

/** (L, L) int32 distances i − j, 0 for future keys. */
function distances(length: number): tf.Tensor2D {
  const index = tf.range(0, length, 1, 'int32');
  return tf.maximum(tf.sub(tf.expandDims(index, 1), tf.expandDims(index, 0)), tf.scalar(0, 'int32'));
}

/** (L, L) float32: 1 where the key is not in the future. */
function causalMask(length: number): tf.Tensor2D {
  const index = tf.range(0, length, 1, 'int32');
  return indicator(tf.greaterEqual(tf.expandDims(index, 1), tf.expandDims(index, 0)));
}

function composedForward(inputs: Inputs, attrs: Attrs): tf.Tensor[] {
  return tf.tidy(() => {
    const { qkv, gain, distanceBias } = inputs;
    const [timeSteps, batch, length] = qkv.shape;
    const maps = [timeSteps, batch, attrs.heads, length, length];
    const [q, k, v] = splitHeads(qkv, attrs.heads);
    const mask = causalMask(length);
    const bias = tf.mul(tf.reshape(tf.gather(distanceBias, tf.reshape(distances(length), [-1]), 1), [attrs.heads, length, length]), mask);
    const counts = tf.mul(tf.matMul<tf.Tensor4D>(q, k, false, true), mask);
    const currents = tf.unstack(tf.reshape(tf.add(tf.mul(counts, tf.reshape(gain, [attrs.heads, 1, 1])), bias), maps));
    const { membranes, spikes } = chargeAndFire(currents, attrs);
    const fired = tf.mul(tf.stack(spikes), mask);
    const perPair = tf.sum<tf.Tensor4D>(fired, 0);
    const perQuery = tf.sum<tf.Tensor3D>(perPair, 3);
    return [joinHeads(tf.matMul<tf.Tensor4D>(perHead(fired), v), timeSteps), tf.mul(perPair, 1 / timeSteps), perQuery, attentionDensity(perQuery, timeSteps), tf.stack(membranes)];
  });
}

function composedBackward(inputs: GradientInputs, attrs: Attrs): tf.Tensor[] {
  return tf.tidy(() => {
    const { dValues, qkv, gain, membrane } = inputs;
    const [timeSteps, batch, length] = dValues.shape;
    const { heads } = attrs;
    const maps = [timeSteps, batch, heads, length, length];
    const [q, k, v] = splitHeads(qkv, heads);
    const mask = causalMask(length);
    const dOut = toHeads(dValues, heads);
    const dFired = [tf.reshape(tf.matMul(dOut, v, false, true), maps), ...spikeGradients(inputs, maps)].reduce((a, b) => tf.add(a, b));
    const fired = tf.mul<tf.Tensor4D>(indicator(tf.greaterEqual(perHead(membrane), attrs.threshold)), mask);
    const dCurrent = tf.mul(tf.stack(backThroughTime(tf.unstack(tf.mul(dFired, mask)), tf.unstack(membrane), attrs)), mask);
    const perRow = perHead(dCurrent);
    const dCounts = tf.mul<tf.Tensor4D>(perRow, tf.reshape(gain, [heads, 1, 1]));
    const gradients: tf.Tensor4D[] = [tf.matMul(dCounts, k), tf.matMul(dCounts, q, true, false), tf.matMul(fired, dOut, true, false)];
    const dqkv = tf.concat(gradients.map((gradient) => joinHeads(gradient, timeSteps)), 3);
    const perPair = tf.reshape<tf.Rank.R2>(tf.sum(perRow, 0), [heads, length * length]);
    const dDistance = tf.matMul(perPair, tf.cast(tf.oneHot(tf.reshape(distances(length), [-1]), attrs.R), 'float32') as tf.Tensor2D);
    return [dqkv, tf.sum(tf.mul(perRow, tf.matMul(q, k, false, true)), [0, 2, 3]), dDistance];
  });
}

/** What each attention spike gets from the mean map, the counts and the density, as far as something depends on them. */
function spikeGradients({ dMeanMap, dCounts, dDensity }: GradientInputs, [timeSteps, batch, heads, length]: readonly number[]): tf.Tensor[] {
  const sizes = [batch, heads, length] as [number, number, number];
  return [
    ...(dMeanMap === undefined ? [] : [tf.div(dMeanMap, timeSteps as number)]),
    ...(dCounts === undefined ? [] : [tf.reshape(dCounts, [...sizes, 1])]),
    ...(dDensity === undefined ? [] : [tf.mul(dDensity, densityFactor(sizes, timeSteps as number))]),
  ];
}

/** (T, B, H, L, L) → (T·B, H, L, L). */
function perHead(maps: tf.Tensor): tf.Tensor4D {
  const [timeSteps = 1, batch = 1, ...rest] = maps.shape;
  return tf.reshape<tf.Rank.R4>(maps, [timeSteps * batch, ...rest] as [number, number, number, number]);
}
