import * as tf from '@tensorflow/tfjs-core';

import type { Random } from '../corpus/random.js';
import { reshape } from '../ops/reshape.js';
import { normal } from '../student/initial-values.js';
import type { Projection } from './embedding-loss.js';

/** Learned maps from the student's width to the teacher's; trained with the student, dropped at inference. */
export interface Projections {
  readonly parameters: ReadonlyMap<string, tf.Tensor>;
  readonly embedding: (parameters: ReadonlyMap<string, tf.Tensor>) => Projection;
  readonly feature: (parameters: ReadonlyMap<string, tf.Tensor>) => Projection;
  /** What `feature` reads of the parameters. */ readonly featureMatrices: (parameters: ReadonlyMap<string, tf.Tensor>) => tf.Tensor[];
}

const EMBEDDING = 'projection.embedding.weight';
const FEATURE_IN = 'projection.feature.in.weight';
const FEATURE_OUT = 'projection.feature.out.weight';
const identity: Projection = (features) => features;

/**
 * Projections that a student of width D_S and a teacher of width D_T need: none where the widths agree, one linear map
 * otherwise; the `projected` feature form always has Linear → GELU → Linear, shared by all layers (App. SFA).
 */
export function createProjections(widths: { student: number; teacher: number }, form: 'normalised' | 'projected', random: Random): Projections {
  const { student, teacher } = widths;
  const parameters = new Map<string, tf.Tensor>();
  const matrix = (name: string, inputs: number): void => {
    parameters.set(name, normal([inputs, teacher], 1 / Math.sqrt(inputs), random));
  };
  if (student !== teacher) matrix(EMBEDDING, student);
  if (student !== teacher || form === 'projected') matrix(FEATURE_IN, student);
  if (form === 'projected') matrix(FEATURE_OUT, teacher);
  return {
    parameters,
    embedding: (p) => (p.has(EMBEDDING) ? (x) => through(x, p.get(EMBEDDING)) : identity),
    feature: (p) => {
      if (!p.has(FEATURE_IN)) return identity;
      if (!p.has(FEATURE_OUT)) return (x) => through(x, p.get(FEATURE_IN));
      return (x) => through(gelu(through(x, p.get(FEATURE_IN))), p.get(FEATURE_OUT));
    },
    featureMatrices: (p) => [FEATURE_IN, FEATURE_OUT].flatMap((name) => p.get(name) ?? []),
  };
}

function through(x: tf.Tensor3D, weight: tf.Tensor | undefined): tf.Tensor3D {
  const [batch, length, width] = x.shape;
  const matrix = weight as tf.Tensor2D;
  return reshape(tf.matMul(reshape<tf.Rank.R2>(x, [batch * length, width]), matrix), [batch, length, matrix.shape[1]]);
}

function gelu(x: tf.Tensor3D): tf.Tensor3D {
  return tf.mul(tf.mul(x, 0.5), tf.add(1, tf.erf(tf.mul(x, Math.SQRT1_2))));
}
