import * as tf from '@tensorflow/tfjs-core';

import type { SpikeTensor } from '../ops/lif.js';
import type { AttentionInput } from '../ops/spiking-attention.js';
import type { StudentConfig } from './config.js';
import type { StudentParameters } from './parameters.js';
import { layerName, parameter } from './parameters.js';

/** What a layer's spiking attention works on, with its learned gain and distance current, or with gain 1 and none (paper). */
export function layerAttention(
  qkv: SpikeTensor<tf.Rank.R4>,
  layer: number,
  student: { readonly parameters: StudentParameters; readonly config: StudentConfig },
): AttentionInput {
  const { parameters, config } = student;
  const gain = config.learnedNeurons
    ? parameter<tf.Rank.R1>(parameters, layerName(layer, 'attention.gain'))
    : tf.ones<tf.Rank.R1>([config.heads]);
  const distanceBias = config.relativeBias
    ? parameter<tf.Rank.R2>(parameters, layerName(layer, 'attention.distance_bias'))
    : tf.zeros<tf.Rank.R2>([config.heads, config.contextLength]);
  return { qkv, gain, distanceBias, heads: config.heads };
}
