import * as tf from '@tensorflow/tfjs-core';

import { ShapeError } from '../errors.js';
import type { OptConfig } from './config.js';
import type { TeacherWeights } from './weights.js';

/** A teacher on the active backend. Parameters carry Hugging Face's names without `model.decoder.`; matrices are (in, out), heads (V, D). */
export interface Teacher {
  readonly config: OptConfig;
  readonly parameters: ReadonlyMap<string, tf.Tensor>;
}

const PREFIX = 'model.decoder.';

/** True for the matrices that Hugging Face stores as (out, in) and our graph multiplies as (in, out); heads stay (V, D), as embeddings are. */
function isLinearWeight(name: string, shape: readonly number[]): boolean {
  return shape.length === 2 && !name.includes('embed_') && name !== 'lm_head.weight';
}

/** Uploads a teacher's weights to the active backend, or those of them that are wanted; the caller disposes the parameters. */
export function uploadTeacher(weights: TeacherWeights, isWanted: (name: string) => boolean = () => true): Teacher {
  const parameters = new Map<string, tf.Tensor>();
  for (const [name, { shape, values }] of weights.tensors) {
    const short = name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name;
    if (!isWanted(short)) continue;
    parameters.set(short, tf.tidy(() => {
      const tensor = tf.tensor(values, [...shape], 'float32');
      return isLinearWeight(short, shape) ? tf.transpose(tensor) : tensor;
    }));
  }
  return { config: weights.config, parameters };
}

/** Downloads a teacher's parameters into Hugging Face's names and layout. */
export async function downloadTeacher(teacher: Teacher): Promise<Pick<TeacherWeights, 'config' | 'tensors'>> {
  const tensors = new Map<string, { shape: readonly number[]; values: Float32Array }>();
  for (const [short, tensor] of teacher.parameters) {
    const isLinear = isLinearWeight(short, tensor.shape);
    const oriented = isLinear ? tf.transpose(tensor) : tensor;
    const values = (await oriented.data()) as Float32Array;
    const name = short.startsWith('lm_head.') ? short : PREFIX + short;
    tensors.set(name, { shape: oriented.shape, values: Float32Array.from(values) });
    if (isLinear) oriented.dispose();
  }
  return { config: teacher.config, tensors };
}

/** The parameter `name`. @throws ShapeError when the teacher has none of that name. */
export function teacherParameter<R extends tf.Rank>(teacher: Teacher, name: string): tf.Tensor<R> {
  const tensor = teacher.parameters.get(name);
  if (tensor === undefined) throw new ShapeError(`the teacher has no tensor ${name}`);
  return tensor as tf.Tensor<R>;
}
