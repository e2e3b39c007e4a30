import * as tf from '@tensorflow/tfjs-core';

import type { Random } from '../corpus/random.js';
import { OPT_POSITION_OFFSET } from '../teacher/config.js';
import type { Teacher } from '../teacher/parameters.js';
import { teacherParameter } from '../teacher/parameters.js';
import type { StudentConfig } from './config.js';
import { parameterShapes } from './parameters.js';

/** Standard deviation of a random embedding (OPT and the paper's reproduction). */
const EMBEDDING_STD = 0.02;

/** Token and position embeddings and the final norm: the teacher's, or N(0, .02) with a plain norm. */
export function fillEmbeddings(
  parameters: Map<string, tf.Tensor>,
  options: { config: StudentConfig; embeddings: 'teacher' | 'random'; teacher: Teacher; random: Random },
): void {
  const { config, teacher, random } = options;
  const width = config.hiddenSize;
  if (options.embeddings === 'random') {
    parameters.set('embed_tokens.weight', normal([config.vocabSize, width], EMBEDDING_STD, random));
    parameters.set('embed_positions.weight', normal([config.contextLength, width], EMBEDDING_STD, random));
  } else {
    parameters.set('embed_tokens.weight', tf.tidy(() => {
      const tokens = teacherParameter<tf.Rank.R2>(teacher, 'embed_tokens.weight');
      return teacher.parameters.has('project_in.weight') ? tf.matMul(tokens, teacherParameter<tf.Rank.R2>(teacher, 'project_in.weight')) : tf.clone(tokens);
    }));
    parameters.set('embed_positions.weight', tf.tidy(() =>
      tf.slice(teacherParameter<tf.Rank.R2>(teacher, 'embed_positions.weight'), [OPT_POSITION_OFFSET, 0], [config.contextLength, width])));
  }
  const copyNorm = options.embeddings === 'teacher' && teacher.config.hasFinalNorm && teacher.config.hasNormAffine;
  parameters.set('final_norm.weight', copyNorm ? tf.clone(teacherParameter(teacher, 'final_layer_norm.weight')) : tf.ones([width]));
  parameters.set('final_norm.bias', copyNorm ? tf.clone(teacherParameter(teacher, 'final_layer_norm.bias')) : tf.zeros([width]));
}

/** Everything not yet set: matrices and their biases uniform within ±1/√inputs, distance currents 0 (the paper's random start). */
export function fillPlainLinears(parameters: Map<string, tf.Tensor>, options: { config: StudentConfig; random: Random }): void {
  const shapes = parameterShapes(options.config);
  for (const [name, shape] of shapes) {
    if (parameters.has(name)) continue;
    if (name.endsWith('distance_bias')) {
      parameters.set(name, tf.zeros([...shape]));
      continue;
    }
    const inputs = shapes.get(name.replace(/\.bias$/, '.weight'))?.[0] ?? 1;
    const limit = 1 / Math.sqrt(inputs);
    const size = shape.reduce((a, b) => a * b, 1);
    parameters.set(name, tf.tensor(Float32Array.from({ length: size }, () => limit * (2 * options.random.next() - 1)), [...shape]));
  }
}

/** Normally distributed values, mean 0. */
export function normal(shape: readonly number[], std: number, random: Random): tf.Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  return tf.tensor(Float32Array.from({ length: size }, () => std * random.normal()), [...shape]);
}
