import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import * as tf from '@tensorflow/tfjs-core';

import { explainWriteFailure, writeTextAtomically } from '../hub/atomic-write.js';
import { writeSafetensors } from '../hub/safetensors.js';
import { hashTensors } from '../hub/tensor-hash.js';
import { studentConfigToJson } from './config.js';
import type { StudentConfig } from './config.js';
import type { Student } from './forward.js';
import type { StudentParameters } from './parameters.js';
import { parameter, parameterShapes } from './parameters.js';
import { isTransposed, openStoredStudent } from './stored.js';
import type { StoredTensor } from './stored.js';

/**
 * Writes a student folder: config.json, model.safetensors (float32) and provenance.json, each whole or not at all.
 * The tokenizer is the caller's part. @throws FormatError when the disk is full or refuses.
 */
export async function writeStudent(
  folder: string, student: { readonly config: StudentConfig; readonly parameters: StudentParameters }, provenance: Readonly<Record<string, unknown>>,
): Promise<void> {
  await mkdir(folder, { recursive: true }).catch((cause: unknown) => { throw explainWriteFailure(folder, cause); });
  const stored: StoredTensor[] = [];
  for (const name of parameterShapes(student.config).keys()) {
    const tensor = parameter(student.parameters, name);
    const isTurned = isTransposed(name, tensor.shape);
    const oriented = isTurned ? tf.transpose(tensor) : tensor;
    stored.push({ name, shape: oriented.shape, values: Float32Array.from(await oriented.data()) });
    if (isTurned) oriented.dispose();
  }
  await writeSafetensors(join(folder, 'model.safetensors'), stored, { format: 'pt' });
  await writeTextAtomically(join(folder, 'config.json'), `${JSON.stringify(studentConfigToJson(student.config), null, 2)}\n`);
  await writeTextAtomically(join(folder, 'provenance.json'), `${JSON.stringify({ ...provenance, weightsSha256: hashOf(stored) }, null, 2)}\n`);
}

function hashOf(stored: readonly StoredTensor[]): string {
  return hashTensors(new Map(stored.map((tensor) => [tensor.name, tensor])));
}

/**
 * Reads a student folder onto the active backend; the caller disposes the parameters.
 * @throws FormatError on a damaged file, ShapeError naming the tensor and both shapes, NumericError on NaN or infinite weights.
 */
export async function readStudent(folder: string): Promise<Student> {
  const { config, tensors } = await openStoredStudent(folder);
  const stored: StoredTensor[] = [];
  for await (const tensor of tensors()) stored.push(tensor);
  return { config, parameters: new Map(stored.map(({ name, shape, values }) => [name, tf.tidy(() => {
    const tensor = tf.tensor(values, [...shape], 'float32');
    return isTransposed(name, shape) ? tf.transpose(tensor) : tensor;
  })])) };
}
