import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { FormatError, Interrupted, NumericError } from '../errors.js';
import { explainWriteFailure, writeTextAtomically } from '../hub/atomic-write.js';
import { writeSafetensors } from '../hub/safetensors.js';
import { hashTensors } from '../hub/tensor-hash.js';
import type { TensorDtype, TensorEntry } from '../hub/tensor-map.js';
import { formatShape } from '../hub/tensor-map.js';
import { openWeights } from '../hub/weight-files.js';
import type { RunContext } from '../types.js';
import type { OptConfig } from './config.js';
import { readJsonFile, readOptConfig, toHuggingFaceConfig } from './config.js';
import { expectedOptTensors, matchOptTensors, OPT_HEAD, OPT_TOKEN_EMBEDDING } from './opt.js';

/** One tensor in memory: row-major, matrices (out, in) as PyTorch stores them. */
export interface TeacherTensor {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** A teacher in memory; names are Hugging Face's with the prefix `model.decoder.`, a tied head is not repeated. */
export interface TeacherWeights {
  readonly config: OptConfig;
  readonly tensors: ReadonlyMap<string, TeacherTensor>;
  /** Of names, shapes and values, whichever file format they came from. */ readonly sha256: string;
}

/** What {@link readTeacherFolder} can tell beside the weights. */
export interface TeacherFolder {
  readonly weights: TeacherWeights;
  /** Weight files that were read, by name. */ readonly files: readonly string[];
  /** Element types found in them, sorted. */ readonly dtypes: readonly TensorDtype[];
  readonly notices: readonly string[];
}

/** A teacher folder's description of where its weights come from. */
export type ProvenanceFields = Readonly<Record<string, unknown>>;

/**
 * Loads a teacher: a folder of ours or a plain Hugging Face folder of an OPT model.
 * @throws FormatError, ShapeError or NumericError naming the file or tensor: config, names, shapes, dtypes and finiteness are checked.
 */
export async function loadTeacher(folder: string): Promise<TeacherWeights> {
  return (await readTeacherFolder(folder)).weights;
}

/** {@link loadTeacher}, telling also what was read and how far it is. @throws Interrupted when the signal of `context` is aborted. */
export async function readTeacherFolder(folder: string, context?: RunContext): Promise<TeacherFolder> {
  const config = await readOptConfig(folder);
  const { tensors: found, files, notices } = await openWeights(folder);
  const { tensors: entries, tiedHead } = matchOptTensors(config, found, folder);
  const tensors = new Map<string, TeacherTensor>();
  for (const [name, entry] of entries) {
    if (context?.signal.aborted === true) throw new Interrupted(`reading ${folder} was interrupted; nothing was written`);
    tensors.set(name, { shape: entry.shape, values: await readFinite(entry) });
    context?.reporter.progress({ phase: 'read weights', done: tensors.size, total: entries.size, unit: 'tensors' });
  }
  if (tiedHead !== null) requireTied(await tiedHead.readFloat32(), tensors.get(OPT_TOKEN_EMBEDDING)!);
  const weights = { config, tensors, sha256: hashTensors(tensors) };
  await requireRecordedHash(folder, weights.sha256);
  return { weights, files, dtypes: [...new Set([...entries.values()].map((entry) => entry.dtype))].sort(), notices };
}

/**
 * Writes a teacher folder's config.json, model.safetensors (float32) and provenance.json; each file is there whole or not at all.
 * The tokenizer is the caller's part. @throws FormatError when the disk is full or refuses.
 */
export async function writeTeacher(
  folder: string, weights: Pick<TeacherWeights, 'config' | 'tensors'>, provenance: ProvenanceFields,
): Promise<void> {
  await mkdir(folder, { recursive: true }).catch((cause: unknown) => { throw explainWriteFailure(folder, cause); });
  const tensors = inCanonicalOrder(weights);
  const stored = [...tensors].map(([name, { shape, values }]) => ({ name, shape, values }));
  await writeSafetensors(join(folder, 'model.safetensors'), stored, { format: 'pt' });
  await writeTextAtomically(join(folder, 'config.json'), toJsonText(toHuggingFaceConfig(weights.config)));
  await writeTextAtomically(join(folder, PROVENANCE_FILE), toJsonText({ ...provenance, weightsSha256: hashTensors(tensors) }));
}

/** The tensors as a reader will meet them, whatever order they were made in: equal weights have one hash. */
function inCanonicalOrder({ config, tensors }: Pick<TeacherWeights, 'config' | 'tensors'>): ReadonlyMap<string, TeacherTensor> {
  const known = [...expectedOptTensors(config)].map(({ name }) => name).filter((name) => tensors.has(name));
  return new Map([...known, ...tensors.keys()].map((name) => [name, tensors.get(name)!]));
}

const PROVENANCE_FILE = 'provenance.json';

function toJsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

async function readFinite(entry: TensorEntry): Promise<Float32Array> {
  const values = await entry.readFloat32();
  let nans = 0;
  let infinities = 0;
  let first = -1;
  for (let i = 0; i < values.length; i += 1) {
    const value = values[i]!;
    if (value - value === 0) continue; // NaN and ±Infinity alone fail this
    if (first < 0) first = i;
    if (Number.isNaN(value)) nans += 1;
    else infinities += 1;
  }
  if (first >= 0) {
    const counts = [nans > 0 ? `${nans} NaN` : '', infinities > 0 ? `${infinities} infinite value${infinities > 1 ? 's' : ''}` : ''].filter(Boolean);
    throw new NumericError(`${entry.name}: ${counts.join(' and ')}, first at ${formatShape(unravel(first, entry.shape))}`, {
      suggestions: ['take an earlier checkpoint, or convert from the format the model was trained in (float16 overflows at 65504)'],
    });
  }
  return values;
}

function unravel(index: number, shape: readonly number[]): readonly number[] {
  let rest = index;
  return shape.toReversed().map((size) => {
    const position = rest % size;
    rest = (rest - position) / size;
    return position;
  }).toReversed();
}

function requireTied(head: Float32Array, embedding: TeacherTensor): void {
  const first = head.findIndex((value, i) => value !== embedding.values[i]);
  if (first < 0) return;
  throw new FormatError(`${OPT_HEAD} differs from ${OPT_TOKEN_EMBEDDING}, first at ${formatShape(unravel(first, embedding.shape))}, `
    + 'although tie_word_embeddings is true', { suggestions: ['set "tie_word_embeddings": false in config.json if the head was trained apart'] });
}

async function requireRecordedHash(folder: string, sha256: string): Promise<void> {
  const path = join(folder, PROVENANCE_FILE);
  const provenance = await readJsonFile(path).catch((error: unknown) => {
    // A plain Hugging Face folder has no provenance; a broken one of ours is an error.
    if (error instanceof FormatError && (error.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') return null;
    throw error;
  });
  if (typeof provenance !== 'object' || provenance === null || !('weightsSha256' in provenance)) return;
  if (provenance.weightsSha256 === sha256) return;
  throw new FormatError(`${folder}: the weights are not those ${PROVENANCE_FILE} records (SHA-256 ${sha256.slice(0, 12)}…, `
    + `recorded ${String(provenance.weightsSha256).slice(0, 12)}…): a file was damaged or exchanged`, {
    suggestions: [`bispik import-teacher SOURCE --out ${folder} --force`],
  });
}
