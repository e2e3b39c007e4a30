import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import * as tf from '@tensorflow/tfjs-core';

import { FormatError, NumericError, ShapeError } from '../errors.js';
import { explainWriteFailure, writeTextAtomically } from '../hub/atomic-write.js';
import { openSafetensors, writeSafetensors } from '../hub/safetensors.js';
import type { TensorEntry, TensorMap } from '../hub/tensor-map.js';
import { formatShape } from '../hub/tensor-map.js';
import { readJsonFile } from '../teacher/config.js';
import { hashTensors } from '../teacher/weights.js';
import { parseStudentConfig, studentConfigToJson } from './config.js';
import type { StudentConfig } from './config.js';
import type { Student } from './forward.js';
import type { StudentParameters } from './parameters.js';
import { parameter, parameterShapes } from './parameters.js';

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

interface StoredTensor { readonly name: string; readonly shape: readonly number[]; readonly values: Float32Array }

function hashOf(stored: readonly StoredTensor[]): string {
  return hashTensors(new Map(stored.map((tensor) => [tensor.name, tensor])));
}

/**
 * Reads a student folder onto the active backend; the caller disposes the parameters.
 * @throws FormatError on a damaged file, ShapeError naming the tensor and both shapes, NumericError on NaN or infinite weights.
 */
export async function readStudent(folder: string): Promise<Student> {
  const configFile = join(folder, 'config.json');
  const config = parseStudentConfig(await readJsonFile(configFile), configFile);
  const weightFile = join(folder, 'model.safetensors');
  const stored: StoredTensor[] = [];
  for (const entry of expectedEntries(config, await openSafetensors(weightFile), weightFile)) {
    stored.push({ name: entry.name, shape: entry.shape, values: await readFinite(entry, weightFile) });
  }
  await requireRecordedHash(folder, hashOf(stored));
  return { config, parameters: new Map(stored.map(({ name, shape, values }) => [name, tf.tidy(() => {
    const tensor = tf.tensor(values, [...shape], 'float32');
    return isTransposed(name, shape) ? tf.transpose(tensor) : tensor;
  })])) };
}

/** The file's entries in our order. @throws ShapeError when one is missing, unexpected or of another shape. */
function expectedEntries(config: StudentConfig, entries: TensorMap, file: string): TensorEntry[] {
  // Every layer has tensors; asked first, so that an absurd number of layers is not spelt out.
  if (config.layers > entries.size) throw new ShapeError(`${file}: ${entries.size} tensors found, too few for num_hidden_layers ${config.layers}`);
  const shapes = parameterShapes(config);
  const unexpected = [...entries.keys()].find((name) => !shapes.has(name));
  if (unexpected !== undefined) throw new ShapeError(`${file}: unexpected tensor ${unexpected}`);
  return Array.from(shapes, ([name, shape]) => {
    const entry = entries.get(name);
    const wanted = formatShape(isTransposed(name, shape) ? [...shape].reverse() : shape);
    if (entry === undefined) throw new ShapeError(`${file}: missing tensor ${name} ${wanted}`);
    if (formatShape(entry.shape) !== wanted) throw new ShapeError(`${file}: ${name}: ${formatShape(entry.shape)} found, ${wanted} expected`);
    return entry;
  });
}

async function readFinite(entry: TensorEntry, file: string): Promise<Float32Array> {
  const values = await entry.readFloat32();
  const wrong = values.findIndex((value) => !Number.isFinite(value));
  if (wrong >= 0) throw new NumericError(`${file}: ${entry.name}: value ${wrong} is ${values[wrong]}`, { suggestions: ['Take the student of an earlier run, or distil again'] });
  return values;
}

/** @throws FormatError when provenance.json records other weights; a folder without a record is taken as it is. */
async function requireRecordedHash(folder: string, sha256: string): Promise<void> {
  const provenance = await readJsonFile(join(folder, 'provenance.json')).catch((error: unknown) => {
    if (error instanceof FormatError && (error.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') return null;
    throw error;
  });
  if (typeof provenance !== 'object' || provenance === null || !('weightsSha256' in provenance) || provenance.weightsSha256 === sha256) return;
  throw new FormatError(`${folder}: the weights are not those provenance.json records: a file was damaged or exchanged`, {
    suggestions: ['Copy the student folder again, whole, or distil again'],
  });
}
