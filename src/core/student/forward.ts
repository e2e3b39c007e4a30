import * as tf from '@tensorflow/tfjs-core';

import { meanOver, scale } from '../ops/reduce.js';
import { layerNorm } from '../ops/layer-norm.js';
import type { SpikeTensor } from '../ops/lif.js';
import { layerAttention } from './attention.js';
import type { SpikeObserver } from './block.js';
import { block } from './block.js';
import type { StudentConfig } from './config.js';
import type { StudentParameters } from './parameters.js';
import { parameter } from './parameters.js';

/** What a student computed; field names are those of the teacher's trace. */
export interface StudentTrace {
  /** (B, L, V) */ readonly logits: tf.Tensor3D;
  /** (B, L, D): token + position embedding, before any gain. */ readonly embedding: tf.Tensor3D;
  /** Per block (B, L, D): the residual stream after it, mean over time. */ readonly hidden: readonly tf.Tensor3D[];
  /** Per block (B, H, L, L): attention spikes, mean over time. */ readonly attention: readonly tf.Tensor4D[];
}

/** A student ready to run: its configuration and its parameters on the active backend. */
export interface Student {
  readonly config: StudentConfig;
  readonly parameters: StudentParameters;
}

/**
 * Full forward pass. The residual stream is (T, B·L, D); it starts as the same embedding current at every time step (A.2), each
 * block adds to it, and the readout is head(LN(mean over T)) with the head tied to the token embedding (A.6).
 * @param ids (B, L) int32, L ≤ contextLength. @returns tensors owned by the caller's tidy.
 */
export function studentForward(student: Student, ids: tf.Tensor2D, observe: SpikeObserver): StudentTrace {
  const { config, parameters } = student;
  const [batch, length] = ids.shape;
  const rows = batch * length;
  const attention: tf.Tensor4D[] = [];
  const attend = (layer: number, qkv: SpikeTensor<tf.Rank.R3>): tf.Tensor3D => {
    const [timeSteps, , width] = qkv.shape;
    const result = layerAttention(tf.reshape(qkv, [timeSteps, batch, length, width]), layer, student);
    attention.push(result.meanMap);
    observe({ layer, site: 'attention', spikes: result.meanMap, rates: null });
    return tf.reshape(result.values, [timeSteps, rows, width / 3]);
  };
  const embedding = embed(student, ids, 0);
  let stream = tf.reshape<tf.Rank.R3>(config.embeddingGain === 1 ? embedding : scale(embedding, config.embeddingGain), [1, rows, config.hiddenSize]);
  const hidden: tf.Tensor3D[] = [];
  for (let layer = 0; layer < config.layers; layer++) {
    stream = block(stream, { parameters, config, layer, attend, observe });
    hidden.push(tf.reshape(meanOver(stream, [0]), [batch, length, config.hiddenSize]));
  }
  return { logits: tf.reshape(readout(student, stream), [batch, length, config.vocabSize]), embedding, hidden, attention };
}

/** Token + position embedding of ids (B, L) whose first token stands at `offset`: (B, L, D). */
export function embed(student: Student, ids: tf.Tensor2D, offset: number): tf.Tensor3D {
  const { parameters } = student;
  const [, length] = ids.shape;
  const positions = tf.slice(parameter<tf.Rank.R2>(parameters, 'embed_positions.weight'), [offset, 0], [length, -1]);
  return tf.add(tf.gather(parameter<tf.Rank.R2>(parameters, 'embed_tokens.weight'), ids), positions);
}

/** Logits (N, V) of a stream (T, N, D): time mean, LayerNorm, tied head; the only real-valued matrix product of the model. */
export function readout(student: Student, stream: tf.Tensor3D): tf.Tensor2D {
  const { config, parameters } = student;
  const normalised = layerNorm(meanOver<tf.Rank.R2>(stream, [0]), {
    weight: parameter<tf.Rank.R1>(parameters, 'final_norm.weight'),
    bias: parameter<tf.Rank.R1>(parameters, 'final_norm.bias'),
    epsilon: config.layerNormEps,
  });
  return tf.matMul(normalised, parameter<tf.Rank.R2>(parameters, 'embed_tokens.weight'), false, true);
}
