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
interface Widths { readonly student: number; readonly teacher: number }
type FeatureForm = 'normalised' | 'projected';
const identity: Projection = (features) => features;

/** Shapes (in, out) of the projections there are, by name. */
export function projectionShapes({ student, teacher }: Widths, form: FeatureForm): Map<string, readonly [inputs: number, outputs: number]> {
  const shapes = new Map<string, readonly [number, number]>();
  if (student !== teacher) shapes.set(EMBEDDING, [student, teacher]);
  if (student !== teacher || form === 'projected') shapes.set(FEATURE_IN, [student, teacher]);
  if (form === 'projected') shapes.set(FEATURE_OUT, [teacher, teacher]);
  return shapes;
}

/**
 * Projections that a student of width D_S and a teacher of width D_T need: none where the widths agree, one linear map
 * otherwise; the `projected` feature form always has Linear → GELU → Linear, shared by all layers (App. SFA).
 */
export function createProjections(widths: Widths, form: FeatureForm, random: Random): Projections {
  const shapes = projectionShapes(widths, form);
  const parameters = new Map(Array.from(shapes, ([name, [inputs, outputs]]) => [name, normal([inputs, outputs], 1 / Math.sqrt(inputs), random)] as const));
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
