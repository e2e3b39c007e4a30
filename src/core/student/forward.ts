import * as tf from '@tensorflow/tfjs-core';

import type { AlignmentTarget } from '../ops/attention-alignment.js';
import { alignedAttention, attentionValues } from '../ops/attention-alignment.js';
import { meanOver, scale } from '../ops/reduce.js';
import { layerNorm } from '../ops/layer-norm.js';
import type { SpikeTensor } from '../ops/lif.js';
import type { Readout } from '../ops/readout.js';
import { layerAttention } from './attention.js';
import type { SpikeObserver } from './block.js';
import { block } from './block.js';
import type { StudentConfig } from './config.js';
import type { StudentParameters } from './parameters.js';
import { parameter } from './parameters.js';

/** What a student computed; field names are those of the teacher's trace. */
export interface StudentTrace {
  /** Of the B·L tokens: what the logits are made of. */ readonly readout: Readout;
  /** (B, L, D): token + position embedding, before any gain. */ readonly embedding: tf.Tensor3D;
  /** Per block (B, L, D): the residual stream after it, mean over time. */ readonly hidden: readonly tf.Tensor3D[];
  /** Per block: the loss of its attention spikes against the target asked for; empty when none was. */ readonly alignment: readonly tf.Scalar[];
}

/** A student ready to run: its configuration and its parameters on the active backend. */
export interface Student {
  readonly config: StudentConfig;
  readonly parameters: StudentParameters;
}

/** What a forward pass does beside the logits. */
export interface ForwardOptions {
  readonly observe: SpikeObserver;
  /** What a layer's attention is aligned with; null for no loss. */ readonly alignTo: ((layer: number) => AlignmentTarget) | null;
}

/**
 * Full forward pass. The residual stream is (T, B·L, D); it starts as the same embedding current at every time step (A.2), each
 * block adds to it, and the logits are head(LN(mean over T)) with the head tied to the token embedding (A.6).
 * @param ids (B, L) int32, L ≤ contextLength. @returns tensors owned by the caller's tidy.
 */
export function studentForward(student: Student, ids: tf.Tensor2D, { observe, alignTo }: ForwardOptions): StudentTrace {
  const { config, parameters } = student;
  const [batch, length] = ids.shape;
  const rows = batch * length;
  const alignment: tf.Scalar[] = [];
  const attend = (layer: number, qkv: SpikeTensor<tf.Rank.R3>): tf.Tensor3D => {
    const [timeSteps, , width] = qkv.shape;
    const input = layerAttention(tf.reshape(qkv, [timeSteps, batch, length, width]), layer, student);
    const { values, counts, loss } = alignTo === null ? { ...attentionValues(input, config.neuron), loss: null } : alignedAttention(input, config.neuron, alignTo(layer));
    if (loss !== null) alignment.push(loss);
    observe({ layer, site: 'attention', spikes: counts, rates: null });
    return tf.reshape(values, [timeSteps, rows, width / 3]);
  };
  const embedding = embed(student, ids, 0);
  let stream = tf.reshape<tf.Rank.R3>(config.embeddingGain === 1 ? embedding : scale(embedding, config.embeddingGain), [1, rows, config.hiddenSize]);
  const hidden: tf.Tensor3D[] = [];
  for (let layer = 0; layer < config.layers; layer++) {
    stream = block(stream, { parameters, config, layer, attend, observe });
    hidden.push(tf.reshape(meanOver(stream, [0]), [batch, length, config.hiddenSize]));
  }
  return { readout: readout(student, stream), embedding, hidden, alignment };
}

/** Token + position embedding of ids (B, L) whose first token stands at `offset`: (B, L, D). */
export function embed(student: Student, ids: tf.Tensor2D, offset: number): tf.Tensor3D {
  const { parameters } = student;
  const [, length] = ids.shape;
  const positions = tf.slice(parameter<tf.Rank.R2>(parameters, 'embed_positions.weight'), [offset, 0], [length, -1]);
  return tf.add(tf.gather(parameter<tf.Rank.R2>(parameters, 'embed_tokens.weight'), ids), positions);
}

/** Readout of a stream (T, N, D): time mean, LayerNorm, and the tied head; the product of the two is the only real-valued one of the model. */
export function readout(student: Student, stream: tf.Tensor3D): Readout {
  const { config, parameters } = student;
  const states = layerNorm(meanOver<tf.Rank.R2>(stream, [0]), {
    weight: parameter<tf.Rank.R1>(parameters, 'final_norm.weight'),
    bias: parameter<tf.Rank.R1>(parameters, 'final_norm.bias'),
    epsilon: config.layerNormEps,
  });
  return { states, head: parameter<tf.Rank.R2>(parameters, 'embed_tokens.weight') };
}
