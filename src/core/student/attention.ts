import * as tf from '@tensorflow/tfjs-core';

import type { SpikeTensor } from '../ops/lif.js';
import type { AttentionOutput } from '../ops/spiking-attention.js';
import { spikingAttention } from '../ops/spiking-attention.js';
import type { StudentConfig } from './config.js';
import type { StudentParameters } from './parameters.js';
import { layerName, parameter } from './parameters.js';

/** A layer's spiking attention with its learned gain and distance current, or with gain 1 and none (paper). */
export function layerAttention(
  qkv: SpikeTensor<tf.Rank.R4>,
  layer: number,
  student: { readonly parameters: StudentParameters; readonly config: StudentConfig },
): AttentionOutput {
  const { parameters, config } = student;
  const gain = config.learnedNeurons
    ? parameter<tf.Rank.R1>(parameters, layerName(layer, 'attention.gain'))
    : tf.ones<tf.Rank.R1>([config.heads]);
  const distanceBias = config.relativeBias
    ? parameter<tf.Rank.R2>(parameters, layerName(layer, 'attention.distance_bias'))
    : tf.zeros<tf.Rank.R2>([config.heads, config.contextLength]);
  return spikingAttention({ qkv, gain, distanceBias, heads: config.heads }, config.neuron);
}
