import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { UsageError } from '../errors.js';
import { explainWriteFailure } from './atomic-write.js';

/** How a folder that is already there is treated. */
export interface StagedFolderOptions {
  /** Replace a folder that is already there. */ readonly overwrite: boolean;
  /** A file that every folder of this kind holds; a folder without it is somebody else's and never replaced. */ readonly marker: string;
}

/**
 * Fills a folder that then appears under its name complete, or not at all: `fill` works in a temporary folder beside it.
 * @throws UsageError when `out` is taken; FormatError when the disk refuses; errors of `fill` pass through. Nothing partial stays.
 */
export async function writeFolderAtomically<Result>(
  out: string, options: StagedFolderOptions, fill: (staging: string) => Promise<Result>,
): Promise<Result> {
  const target = resolve(out);
  await requireFreeFolder(target, options);
  const staging = `${target}.${randomBytes(4).toString('hex')}.incomplete`;
  try {
    await mkdir(dirname(target), { recursive: true });
    await mkdir(staging);
    const result = await fill(staging);
    await replaceFolder(staging, target);
    return result;
  } catch (cause) {
    await rm(staging, { recursive: true, force: true });
    throw explainWriteFailure(out, cause);
  }
}

/**
 * Checks early, before anything is downloaded, that a folder may be written.
 * @throws UsageError when it is taken and may not be replaced.
 */
export async function requireFreeFolder(out: string, options: StagedFolderOptions): Promise<void> {
  const present = await listOrNull(out);
  if (present === null || present.length === 0) return;
  if (!present.includes(options.marker)) {
    throw new UsageError(`${out} holds other files (no ${options.marker} among them): it is not replaced`, { suggestions: ['choose another --out'] });
  }
  if (!options.overwrite) throw new UsageError(`${out} is already there`, { suggestions: ['add --force to replace it, or choose another --out'] });
}

async function listOrNull(folder: string): Promise<readonly string[] | null> {
  try {
    return await readdir(folder);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') return null;
    if (code === 'ENOTDIR') throw new UsageError(`${folder} is a file, not a folder`, { cause, suggestions: ['choose another --out'] });
    throw explainWriteFailure(folder, cause);
  }
}

/** Moves the old folder aside, the new one in, and the old one back if that fails. */
async function replaceFolder(staging: string, target: string): Promise<void> {
  const old = `${staging}.old`;
  const hadOld = await rename(target, old).then(() => true, (cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return false;
    throw cause;
  });
  try {
    await rename(staging, target);
  } catch (cause) {
    if (hadOld) await rename(old, target);
    throw cause;
  }
  if (hadOld) await rm(old, { recursive: true, force: true });
}
