import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { FormatError } from '../errors.js';
import { openSafetensors } from '../hub/safetensors.js';
import { listSteps } from './folders.js';
import type { FileRecord, JsonObject, TrainingState } from './format.js';
import { MODEL_FILE, OPTIMIZER_FILE, STATE_FILE, checkpointName, parseState } from './format.js';
import { recordFile } from './write.js';

/** Values of a tensor and their shape. */
export interface TensorValues {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** A checkpoint that was found whole. */
export interface Checkpoint {
  readonly path: string;
  readonly state: TrainingState;
  readonly identity: JsonObject;
  readonly model: ReadonlyMap<string, TensorValues>;
  readonly optimizer: ReadonlyMap<string, TensorValues>;
}

/**
 * Reads the newest checkpoint that is whole; each damaged one is named through `notice` and passed over.
 * @param folder the run's `checkpoints`. @throws FormatError when there is none.
 */
export async function readLatestCheckpoint(folder: string, notice: (message: string) => void): Promise<Checkpoint> {
  const steps = await listSteps(folder);
  for (const step of steps) {
    try {
      return await readCheckpoint(join(folder, checkpointName(step)));
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      notice(`checkpoint ${checkpointName(step)} cannot be used (${error.message}); trying the one before it`);
    }
  }
  const found = steps.length === 0 ? 'no checkpoint' : `${steps.length} checkpoints, none of them whole`;
  throw new FormatError(`${folder}: ${found}; nothing to resume from`, { suggestions: ['start the run again with --config in an empty folder'] });
}

/** Reads one checkpoint after checking size and SHA-256 of each file. @throws FormatError naming the file that is damaged. */
export async function readCheckpoint(path: string): Promise<Checkpoint> {
  const stateFile = join(path, STATE_FILE);
  const { state, identity, files } = parseState(await readText(stateFile), stateFile);
  for (const name of [MODEL_FILE, OPTIMIZER_FILE]) await verifyFile(join(path, name), files[name]);
  return { path, state, identity, model: await readTensors(join(path, MODEL_FILE)), optimizer: await readTensors(join(path, OPTIMIZER_FILE)) };
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new FormatError(`${file} cannot be read (${(cause as NodeJS.ErrnoException).code ?? String(cause)})`, { cause });
  }
}

async function verifyFile(file: string, expected: FileRecord | undefined): Promise<void> {
  if (expected === undefined) throw new FormatError(`${file} is not recorded in ${STATE_FILE}`);
  const { size } = await stat(file).catch((cause: unknown) => {
    throw new FormatError(`${file} is missing or cannot be read`, { cause });
  });
  if (size !== expected.sizeBytes) throw new FormatError(`${file}: ${size} bytes found, ${expected.sizeBytes} expected`);
  const { sha256 } = await recordFile(file);
  if (sha256 !== expected.sha256) throw new FormatError(`${file}: SHA-256 ${sha256.slice(0, 12)}… found, ${expected.sha256.slice(0, 12)}… expected: damaged`);
}

async function readTensors(file: string): Promise<Map<string, TensorValues>> {
  const tensors = new Map<string, TensorValues>();
  for (const [name, entry] of await openSafetensors(file)) tensors.set(name, { shape: entry.shape, values: await entry.readFloat32() });
  return tensors;
}
