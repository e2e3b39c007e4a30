import * as tf from '@tensorflow/tfjs-core';

import type { Random } from '../corpus/random.js';
import type { OptConfig } from './config.js';
import { OPT_POSITION_OFFSET } from './config.js';
import type { Teacher } from './parameters.js';

/** Standard deviation of embeddings, as OPT's. Small, because the embedding is also the head: first logits near 0. */
const EMBEDDING_STD = 0.02;
/** Matrices start at gain/√inputs; at the small widths trained here OPT's .02 would leave the blocks silent for long. */
const LINEAR_GAIN = 0.5;

/** Shape of a small OPT-like teacher to train from scratch: pre-norm, ReLU, biases, tied head. */
export interface NewTeacher {
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly feedForwardSize: number;
  readonly contextLength: number;
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly padId: number | null;
}

/** The configuration of a new teacher. */
export function teacherConfigOf(shape: NewTeacher): OptConfig {
  return {
    ...shape, family: 'opt', embeddingSize: shape.hiddenSize, normPlacement: 'pre', hasFinalNorm: true, activation: 'relu',
    hasBias: true, hasNormAffine: true, tiedHead: true, layerNormEps: 1e-5,
  };
}

/**
 * Random weights of a new teacher:
 *
 * | tensors | start |
 * |---|---|
 * | embeddings | N(0, .02) |
 * | q, k, v, fc1 | N(0, .5/√inputs) |
 * | out_proj, fc2 (they write to the stream) | N(0, .5/√(inputs · 2 · layers)) |
 * | biases; norms | 0; 1 and 0 |
 *
 * @returns parameters on the active backend, owned by the caller.
 */
export function initTeacher(shape: NewTeacher, random: Pick<Random, 'normal'>): Teacher {
  const { hiddenSize: D, feedForwardSize: F, layers } = shape;
  const parameters = new Map<string, tf.Tensor>();
  const gaussian = (name: string, size: readonly [number, number], std: number): void => {
    const values = new Float32Array(size[0] * size[1]);
    for (let i = 0; i < values.length; i++) values[i] = std * random.normal();
    parameters.set(name, tf.tensor2d(values, [...size]));
  };
  const linear = (name: string, size: readonly [number, number], depth: number): void => {
    gaussian(`${name}.weight`, size, LINEAR_GAIN / Math.sqrt(size[0] * depth));
    parameters.set(`${name}.bias`, tf.zeros([size[1]]));
  };
  const norm = (name: string): void => {
    parameters.set(`${name}.weight`, tf.ones([D])).set(`${name}.bias`, tf.zeros([D]));
  };
  gaussian('embed_tokens.weight', [shape.vocabSize, D], EMBEDDING_STD);
  gaussian('embed_positions.weight', [shape.contextLength + OPT_POSITION_OFFSET, D], EMBEDDING_STD);
  norm('final_layer_norm');
  for (let layer = 0; layer < layers; layer++) {
    const name = (part: string): string => `layers.${layer}.${part}`;
    for (const part of ['q_proj', 'k_proj', 'v_proj']) linear(name(`self_attn.${part}`), [D, D], 1);
    linear(name('self_attn.out_proj'), [D, D], 2 * layers);
    norm(name('self_attn_layer_norm'));
    linear(name('fc1'), [D, F], 1);
    linear(name('fc2'), [F, D], 2 * layers);
    norm(name('final_layer_norm'));
  }
  return { config: teacherConfigOf(shape), parameters };
}
