import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import * as tf from '@tensorflow/tfjs-core';

import { ShapeError } from '../errors.js';
import { writeTextAtomically } from '../hub/atomic-write.js';
import { openSafetensors, writeSafetensors } from '../hub/safetensors.js';
import { formatShape } from '../hub/tensor-map.js';
import { readJsonFile } from '../teacher/config.js';
import { parseStudentConfig, studentConfigToJson } from './config.js';
import type { StudentConfig } from './config.js';
import type { Student } from './forward.js';
import type { StudentParameters } from './parameters.js';
import { parameterShapes } from './parameters.js';

/** Matrices are (out, in) in the file, as Hugging Face stores linear layers, and (in, out) in the graph. */
function isTransposed(name: string, shape: readonly number[]): boolean {
  return shape.length === 2 && name.endsWith('.weight') && !name.startsWith('embed_');
}

/**
 * Writes a student folder: config.json, model.safetensors (float32) and provenance.json, each whole or not at all.
 * The tokenizer is the caller's part. @throws FormatError when the disk is full or refuses.
 */
export async function writeStudent(
  folder: string, student: { readonly config: StudentConfig; readonly parameters: StudentParameters }, provenance: Readonly<Record<string, unknown>>,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const stored: { name: string; shape: readonly number[]; values: Float32Array }[] = [];
  for (const [name, tensor] of student.parameters) {
    const isTurned = isTransposed(name, tensor.shape);
    const oriented = isTurned ? tf.transpose(tensor) : tensor;
    stored.push({ name, shape: oriented.shape, values: Float32Array.from(await oriented.data()) });
    if (isTurned) oriented.dispose();
  }
  await writeSafetensors(join(folder, 'model.safetensors'), stored, { format: 'pt' });
  await writeTextAtomically(join(folder, 'config.json'), `${JSON.stringify(studentConfigToJson(student.config), null, 2)}\n`);
  await writeTextAtomically(join(folder, 'provenance.json'), `${JSON.stringify(provenance, null, 2)}\n`);
}

/**
 * Reads a student folder onto the active backend; the caller disposes the parameters.
 * @throws FormatError on a damaged file, ShapeError naming the tensor and both shapes.
 */
export async function readStudent(folder: string): Promise<Student> {
  const configFile = join(folder, 'config.json');
  const config = parseStudentConfig(await readJsonFile(configFile), configFile);
  const weightFile = join(folder, 'model.safetensors');
  const entries = await openSafetensors(weightFile);
  const shapes = parameterShapes(config);
  const unexpected = [...entries.keys()].find((name) => !shapes.has(name));
  if (unexpected !== undefined) throw new ShapeError(`${weightFile}: unexpected tensor ${unexpected}`);
  const parameters = new Map<string, tf.Tensor>();
  for (const [name, shape] of shapes) {
    const entry = entries.get(name);
    const stored = isTransposed(name, shape) ? [...shape].reverse() : [...shape];
    if (entry === undefined) throw new ShapeError(`${weightFile}: missing tensor ${name} ${formatShape(stored)}`);
    if (formatShape(entry.shape) !== formatShape(stored)) {
      throw new ShapeError(`${weightFile}: ${name}: ${formatShape(entry.shape)} found, ${formatShape(stored)} expected`);
    }
    const values = await entry.readFloat32();
    parameters.set(name, tf.tidy(() => {
      const tensor = tf.tensor(values, stored, 'float32');
      return isTransposed(name, shape) ? tf.transpose(tensor) : tensor;
    }));
  }
  return { config, parameters };
}
