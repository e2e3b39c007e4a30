import { join } from 'node:path';

import { FormatError, NumericError, ShapeError } from '../errors.js';
import { openSafetensors } from '../hub/safetensors.js';
import { TensorHash } from '../hub/tensor-hash.js';
import type { TensorEntry, TensorMap } from '../hub/tensor-map.js';
import { formatShape } from '../hub/tensor-map.js';
import { readJsonFile } from '../teacher/config.js';
import { parseStudentConfig } from './config.js';
import type { StudentConfig } from './config.js';
import { parameterShapes } from './parameters.js';

/** One parameter as the file has it: row-major, matrices (out, in), tables as they are. */
export interface StoredTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** A student folder whose configuration, names and shapes are checked; no weight is read yet. */
export interface StoredStudent {
  readonly config: StudentConfig;
  /** The file with the weights, as errors name it. */ readonly weightFile: string;
  /**
   * Every parameter in the order of `parameterShapes`, each read when it is asked for; after the last, their hash is checked.
   * @throws NumericError on NaN or infinite weights, FormatError on a damaged file or weights that are not those recorded.
   */
  tensors(): AsyncGenerator<StoredTensor>;
}

/** Matrices are (out, in) in the file, as Hugging Face stores linear layers, and (in, out) in the graph. */
export function isTransposed(name: string, shape: readonly number[]): boolean {
  return shape.length === 2 && name.endsWith('.weight') && !name.startsWith('embed_');
}

/**
 * Opens a student folder without any tensor library.
 * @throws FormatError on a damaged file, ShapeError naming the tensor and both shapes.
 */
export async function openStoredStudent(folder: string): Promise<StoredStudent> {
  const config = await readStudentConfig(folder);
  const weightFile = join(folder, 'model.safetensors');
  const entries = expectedEntries(config, await openSafetensors(weightFile), weightFile);
  return { config, weightFile, tensors: () => readTensors({ folder, weightFile }, entries) };
}

/** Reads the folder's config.json. @throws FormatError naming the file and every key that does not fit. */
export async function readStudentConfig(folder: string): Promise<StudentConfig> {
  const configFile = join(folder, 'config.json');
  return parseStudentConfig(await readJsonFile(configFile), configFile);
}

/** The hash of the weights provenance.json records, or null when there is none: other programs' folders are taken as they are. */
export async function readRecordedHash(folder: string): Promise<string | null> {
  const provenance = await readJsonFile(join(folder, 'provenance.json')).catch((error: unknown) => {
    if (error instanceof FormatError && (error.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') return null;
    throw error;
  });
  if (typeof provenance !== 'object' || provenance === null || !('weightsSha256' in provenance)) return null;
  return String(provenance.weightsSha256);
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

async function* readTensors(from: { folder: string; weightFile: string }, entries: readonly TensorEntry[]): AsyncGenerator<StoredTensor> {
  const hash = new TensorHash();
  for (const entry of entries) {
    const tensor = { name: entry.name, shape: entry.shape, values: await readFinite(entry, from.weightFile) };
    hash.add(tensor.name, tensor);
    yield tensor;
  }
  const recorded = await readRecordedHash(from.folder);
  if (recorded === null || recorded === hash.digest()) return;
  throw new FormatError(`${from.folder}: the weights are not those provenance.json records: a file was damaged or exchanged`, {
    suggestions: ['Copy the student folder again, whole, or distil again'],
  });
}

async function readFinite(entry: TensorEntry, file: string): Promise<Float32Array> {
  const values = await entry.readFloat32();
  for (let i = 0; i < values.length; i += 1) {
    const value = values[i]!;
    if (value - value === 0) continue; // NaN and ±Infinity alone fail this
    throw new NumericError(`${file}: ${entry.name}: value ${i} is ${value}`, { suggestions: ['Take the student of an earlier run, or distil again'] });
  }
  return values;
}
