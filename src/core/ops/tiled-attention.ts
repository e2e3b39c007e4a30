import * as tf from '@tensorflow/tfjs-core';

import type { AlignedValues, AlignmentTarget, AttentionValues } from './attention-alignment.js';
import { attentionDensity } from './firing-rate.js';
import { hasKernel, output } from './kernels.js';
import type { LifNeuron } from './lif.js';
import { lifAttrs } from './lif.js';
import type { AttentionStream } from './softmax-attention.js';
import type { AttentionInput } from './spiking-attention.js';

/** Kernels that compute attention tile by tile, of backends that have them; `composedValues` and `composedAlignment` are their references. */
const KERNEL = 'BispikTiledAttention';
const ALIGNED = 'BispikAlignedAttention';

/** Time steps × words of 32 channels of a head: the kernels keep a sum of each in registers. */
const MOST_SUMS = 32;

/** True where the kernels can take heads of this width; layers with very many time steps or very wide heads keep their maps. */
export function fitTiles({ headWidth, timeSteps }: { readonly headWidth: number; readonly timeSteps: number }): boolean {
  return timeSteps * Math.ceil(headWidth / 32) <= MOST_SUMS;
}

/** True when the active backend attends tile by tile, and no map is made. */
export function hasTiles(shape: Parameters<typeof fitTiles>[0]): boolean {
  return hasKernel(KERNEL) && fitTiles(shape);
}

/** What `hasTiles` asks for. */
export function tileShape({ qkv, heads }: AttentionInput, { timeSteps }: LifNeuron): Parameters<typeof fitTiles>[0] {
  return { headWidth: qkv.shape[3] / 3 / heads, timeSteps };
}

export function tiledAttention({ qkv, gain, distanceBias, heads }: AttentionInput, neuron: LifNeuron): AttentionValues {
  const outputs = tf.engine().runKernel(KERNEL, { qkv, gain, distanceBias }, { ...lifAttrs(neuron), heads }) as unknown as tf.Tensor[];
  return withDensity(outputs, neuron);
}

export function tiledAlignment(input: AttentionInput, neuron: LifNeuron, target: AlignmentTarget & { readonly teacher: AttentionStream }): AlignedValues {
  const { qkv, gain, distanceBias, heads } = input;
  const { teacher, headMap, gamma, form } = target;
  const inputs = { qkv, gain, distanceBias, teacherQuery: teacher.query, teacherKey: teacher.key };
  const attrs = { ...lifAttrs(neuron), heads, teacherHeads: teacher.heads, headMap: [...headMap], gamma, form };
  const outputs = tf.engine().runKernel(ALIGNED, inputs, attrs) as unknown as tf.Tensor[];
  return { ...withDensity(outputs, neuron), loss: output(outputs, 2) };
}

function withDensity(outputs: readonly tf.Tensor[], { timeSteps }: LifNeuron): AttentionValues {
  const counts = output<tf.Rank.R3>(outputs, 1);
  return { values: output(outputs, 0), counts, density: attentionDensity(counts, timeSteps) };
}

/** Makes both differentiable; once is enough, whatever the backend. */
export function registerTiledAttention(): void {
  if (tf.getGradient(KERNEL) != null) return;
  tf.registerGradient({
    kernelName: KERNEL, inputsToSave: ['gain', 'distanceBias'], outputsToSave: [false, false, true],
    gradFunc: (dy, [gain, distanceBias, bits], attrs) => {
      const [dValues, dCounts] = dy as unknown as tf.Tensor[];
      return gradientsOf(`${KERNEL}Grad`, { dValues, dCounts, gain, distanceBias, bits }, attrs);
    },
  });
  tf.registerGradient({
    kernelName: ALIGNED, inputsToSave: ['gain', 'distanceBias', 'teacherQuery', 'teacherKey'], outputsToSave: [false, false, false, true, true, true],
    gradFunc: (dy, [gain, distanceBias, teacherQuery, teacherKey, bits, softmax, rowTerms], attrs) => {
      const [dValues, dCounts, dLoss] = dy as unknown as tf.Tensor[];
      return gradientsOf(`${ALIGNED}Grad`, { dValues, dCounts, dLoss, gain, distanceBias, teacherQuery, teacherKey, bits, softmax, rowTerms }, attrs);
    },
  });
}

function gradientsOf(kernel: string, inputs: Readonly<Record<string, tf.Tensor | undefined>>, attrs: tf.NamedAttrMap): ReturnType<tf.GradFunc> {
  const gradients = tf.engine().runKernel(kernel, inputs as tf.NamedTensorMap, attrs) as unknown as tf.Tensor[];
  return { qkv: () => output(gradients, 0), gain: () => output(gradients, 1), distanceBias: () => output(gradients, 2) };
}
