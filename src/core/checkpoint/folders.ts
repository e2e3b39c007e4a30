import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { explainWriteFailure } from '../hub/atomic-write.js';
import { stepOfName } from './format.js';

const INCOMPLETE = '.incomplete';
const REPLACED = '.replaced';

/**
 * Writes a folder so that it is there completely or not at all: `produce` fills a temporary one beside it, which is then renamed.
 * A folder of that name is replaced; between its removal and the rename a crash leaves it as `<name>.replaced`, which
 * `recoverFolder` puts back. @throws FormatError when the disk is full or refuses; errors of `produce` pass. Nothing partial stays.
 */
export async function replaceFolder(folder: string, produce: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = `${folder}.${randomBytes(4).toString('hex')}${INCOMPLETE}`;
  await ensureFolder(temporary);
  try {
    await produce(temporary);
    await syncFolder(temporary);
    await rm(`${folder}${REPLACED}`, { recursive: true, force: true });
    if (await isThere(folder)) await rename(folder, `${folder}${REPLACED}`);
    await rename(temporary, folder);
    await syncFolder(dirname(folder));
    await rm(`${folder}${REPLACED}`, { recursive: true, force: true });
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    await recoverFolder(folder);
    throw explainWriteFailure(folder, error);
  }
}

/** Creates a folder and those above it, unless they are there. @throws FormatError when the disk is full or refuses. */
export async function ensureFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
  } catch (error) {
    throw explainWriteFailure(folder, error);
  }
}

/** Puts back what `replaceFolder` had moved aside when it was killed. */
export async function recoverFolder(folder: string): Promise<void> {
  if (!(await isThere(`${folder}${REPLACED}`))) return;
  if (await isThere(folder)) await rm(`${folder}${REPLACED}`, { recursive: true, force: true });
  else await rename(`${folder}${REPLACED}`, folder);
}

/** Removes a folder in a way that a crash cannot leave half of it under its name. */
export async function removeFolder(folder: string): Promise<void> {
  const condemned = `${folder}.${randomBytes(4).toString('hex')}${INCOMPLETE}`;
  await rename(folder, condemned);
  await rm(condemned, { recursive: true, force: true });
}

/** Removes what killed writers left in a folder of checkpoints. */
export async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await namesIn(folder)) {
    if (name.endsWith(INCOMPLETE)) await rm(join(folder, name), { recursive: true, force: true });
    else if (name.endsWith(REPLACED)) await recoverFolder(join(folder, name.slice(0, -REPLACED.length)));
  }
}

/** Steps of the finished checkpoints in a folder, the newest first; none when there is no such folder. */
export async function listSteps(folder: string): Promise<number[]> {
  const steps = (await namesIn(folder)).map(stepOfName).filter((step) => step !== null);
  return steps.sort((a, b) => b - a);
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null;
}

/** Makes renames inside a folder last through a power cut, where the system lets a folder be flushed (Windows does not). */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
