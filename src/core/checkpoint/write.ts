import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';

import { writeTextAtomically } from '../hub/atomic-write.js';
import { writeSafetensors } from '../hub/safetensors-writer.js';
import { listSteps, removeFolder, replaceFolder } from './folders.js';
import type { CheckpointContents, FileRecord } from './format.js';
import { CHECKPOINT_FORMAT, MODEL_FILE, OPTIMIZER_FILE, STATE_FILE, checkpointName, formatState } from './format.js';

/** What a test may do between two files, e.g. be killed. */
export interface CheckpointHooks {
  readonly onFileWritten: (name: string) => Promise<void>;
}

const noHooks: CheckpointHooks = { onFileWritten: () => Promise.resolve() };

/**
 * Writes `checkpoints/step-000300` with its weights, moments and state: every file flushed, then the folder renamed into place.
 * @param folder the run's `checkpoints`. @returns the path of the checkpoint. @throws FormatError when the disk is full or refuses.
 */
export async function writeCheckpoint(folder: string, contents: CheckpointContents, hooks: CheckpointHooks = noHooks): Promise<string> {
  const { state, identity } = contents;
  const path = join(folder, checkpointName(state.step));
  await replaceFolder(path, async (temporary) => {
    const files: Record<string, FileRecord> = {};
    for (const [name, tensors] of [[MODEL_FILE, contents.model], [OPTIMIZER_FILE, contents.optimizer]] as const) {
      await writeSafetensors(join(temporary, name), tensors);
      files[name] = await recordFile(join(temporary, name));
      await hooks.onFileWritten(name);
    }
    await writeTextAtomically(join(temporary, STATE_FILE), formatState({ format: CHECKPOINT_FORMAT, state, identity, files }));
    await hooks.onFileWritten(STATE_FILE);
  });
  return path;
}

/**
 * Removes older checkpoints: the newest two stay (one to fall back on), and that of `bestStep`.
 * @param folder the run's `checkpoints`.
 */
export async function pruneCheckpoints(folder: string, bestStep: number | null): Promise<void> {
  const [, , ...older] = await listSteps(folder);
  for (const step of older) {
    if (step !== bestStep) await removeFolder(join(folder, checkpointName(step)));
  }
}

/** Size and SHA-256 of a file as it lies on disk. */
export async function recordFile(path: string): Promise<FileRecord> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return { sizeBytes: (await stat(path)).size, sha256: hash.digest('hex') };
}
