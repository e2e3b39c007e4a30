import * as tf from '@tensorflow/tfjs-core';

import { setValues } from '../backend/tensor-values.js';
import type { Checkpoint, TensorValues } from '../checkpoint/read.js';
import { ShapeError } from '../errors.js';
import type { StoredTensor } from '../hub/safetensors-writer.js';
import { formatShape } from '../hub/tensor-map.js';
import type { AdamState } from './optimizer.js';
import { momentOf } from './optimizer.js';
import type { TrainingTask } from './task.js';

/** A copy of every parameter, in the task's order. */
export function storeParameters(task: Pick<TrainingTask, 'parameters'>): Promise<StoredTensor[]> {
  return store(task.parameters, '');
}

/** A copy of Adam's moments: `mean.<name>` and `square.<name>`. */
export async function storeMoments(state: AdamState): Promise<StoredTensor[]> {
  return [...await store(state.mean, 'mean.'), ...await store(state.square, 'square.')];
}

/** Gives every parameter its value of the checkpoint. @throws ShapeError naming a tensor that is missing or has another shape. */
export function restoreParameters(task: TrainingTask, { model, path }: Pick<Checkpoint, 'model' | 'path'>): void {
  const values = Array.from(task.parameters, ([name, variable]) => [variable, valuesOf(model, name, { shape: variable.shape, path })] as const);
  for (const [variable, stored] of values) setValues(variable, stored);
}

/** The moments of a checkpoint; the caller disposes them. @throws ShapeError naming a tensor that is missing or has another shape. */
export function momentsFrom(task: TrainingTask, { optimizer, path }: Pick<Checkpoint, 'optimizer' | 'path'>, updates: number): AdamState {
  const read = (prefix: string): Map<string, Float32Array> => new Map(
    Array.from(task.parameters, ([name, { shape }]) => [name, valuesOf(optimizer, `${prefix}${name}`, { shape, path })]),
  );
  const upload = (values: ReadonlyMap<string, Float32Array>): Map<string, tf.Variable> => new Map(
    Array.from(task.parameters, ([name, { shape }]) => [name, momentOf(() => tf.tensor(values.get(name) as Float32Array, shape, 'float32'))]),
  );
  const [mean, square] = [read('mean.'), read('square.')];
  return { updates, mean: upload(mean), square: upload(square) };
}

async function store(tensors: ReadonlyMap<string, tf.Tensor>, prefix: string): Promise<StoredTensor[]> {
  const stored: StoredTensor[] = [];
  for (const [name, tensor] of tensors) stored.push({ name: `${prefix}${name}`, shape: tensor.shape, values: Float32Array.from(await tensor.data()) });
  return stored;
}

function valuesOf(tensors: ReadonlyMap<string, TensorValues>, name: string, expected: { shape: readonly number[]; path: string }): Float32Array {
  const found = tensors.get(name);
  if (found === undefined) throw new ShapeError(`${expected.path}: tensor ${name} ${formatShape(expected.shape)} is missing`);
  if (formatShape(found.shape) !== formatShape(expected.shape)) {
    throw new ShapeError(`${expected.path}: tensor ${name}: ${formatShape(found.shape)} found, ${formatShape(expected.shape)} expected`);
  }
  return found.values;
}
