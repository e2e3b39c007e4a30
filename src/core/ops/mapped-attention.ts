import * as tf from '@tensorflow/tfjs-core';

import type { AlignedValues } from './attention-alignment.js';
import { hasKernel, output, runKernel } from './kernels.js';
import type { LifNeuron } from './lif.js';
import { lifAttrs } from './lif.js';
import { spareAbsentGradients } from './reverse-pass.js';
import type { AttentionInput } from './spiking-attention.js';
import { attentionGradients } from './spiking-attention.js';

/** Compares the attention spikes of a query with its target as soon as they are there, so that no mean map is made; of backends that have it. `composedAlignment` is its reference. */
const KERNEL = 'BispikMappedAttention';

/** What the mean map is compared with: rateFactor·Σ(map − rate)² + factor·Σ(map − target)². */
export interface MapTarget {
  /** (B, H, L, L), 0 for future keys. */ readonly target: tf.Tensor4D;
  readonly rateFactor: number;
  readonly factor: number;
}

/** True when the active backend compares without a map. */
export function hasMappedAttention(): boolean {
  return hasKernel(KERNEL);
}

/** Spiking attention and its loss, differentiable in qkv, gain and distanceBias. */
export function mappedAttention({ qkv, gain, distanceBias, heads }: AttentionInput, neuron: LifNeuron, { target, ...factors }: MapTarget): AlignedValues {
  const outputs = runKernel(KERNEL, { qkv, gain, distanceBias, target }, { ...lifAttrs(neuron), heads, ...factors });
  return { values: output(outputs, 0), loss: output(outputs, 1), counts: output(outputs, 2), density: output(outputs, 3) };
}

/** Makes it differentiable; once is enough, whatever the backend. */
export function registerMappedAttention(): void {
  if (tf.getGradient(KERNEL) != null) return;
  spareAbsentGradients(KERNEL);
  tf.registerGradient({
    kernelName: KERNEL, inputsToSave: ['qkv', 'gain', 'distanceBias', 'target'], outputsToSave: [false, false, false, false, true],
    gradFunc: (dy, [qkv, gain, distanceBias, target, membrane], attrs) =>
      attentionGradients({ kernelName: `${KERNEL}Grad`, dy, names: ['dLoss', 'dCounts', 'dDensity'], saved: { qkv, gain, distanceBias, target, membrane } as tf.NamedTensorMap, attrs }),
  });
}
