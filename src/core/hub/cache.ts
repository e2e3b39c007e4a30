import { copyFile, mkdir, readdir, readFile, readlink, rename, rm, symlink } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { FormatError } from '../errors.js';
import { explainWriteFailure, writeTextAtomically } from './atomic-write.js';

/**
 * Where one repository is kept, in the layout that Hugging Face's own tools use, so that either finds the other's downloads: `blobs/` holds contents
 * named by their hash, `snapshots/COMMIT/` links names to them, `refs/NAME` holds the commit a branch or tag pointed at. `.bispik/COMMIT.json` is ours:
 * the names of a snapshot that was downloaded completely.
 */
export interface RepositoryCache {
  readonly folder: string;
}

const COMMIT = /^[0-9a-f]{40}$/;

/** True for a full commit hash. */
export function isCommit(revision: string): boolean {
  return COMMIT.test(revision);
}

/** What a repository holds, by the Hub's own names. */
export type RepositoryType = 'model' | 'dataset';

/** The cache of one repository. */
export function repositoryCache(cacheDir: string, repo: string, type: RepositoryType = 'model'): RepositoryCache {
  return { folder: join(cacheDir, [`${type}s`, ...repo.split('/')].join('--')) };
}

/** Path of a content, whether it is there or not. */
export function blobPath({ folder }: RepositoryCache, hash: string): string {
  return join(folder, 'blobs', hash);
}

/** Folder of a commit's files, whether it is there or not. */
export function snapshotFolder({ folder }: RepositoryCache, commit: string): string {
  return join(folder, 'snapshots', commit);
}

/** The commit a branch or tag pointed at when it was last seen; null when never. */
export async function readReference(cache: RepositoryCache, revision: string): Promise<string | null> {
  const text = await readOrNull(referencePath(cache, revision));
  const commit = text?.trim() ?? '';
  return isCommit(commit) ? commit : null;
}

/** Records the commit a branch or tag points at. @throws FormatError when the disk refuses. */
export async function writeReference(cache: RepositoryCache, revision: string, commit: string): Promise<void> {
  await writeInFolder(referencePath(cache, revision), commit);
}

/** Names of a snapshot (or of a named selection of its files) that is completely there; null when there is none. */
export async function readManifest(cache: RepositoryCache, commit: string, selection: string | null = null): Promise<readonly string[] | null> {
  const text = await readOrNull(manifestPath(cache, commit, selection));
  if (text === null) return null;
  try {
    const { files } = JSON.parse(text) as { files?: unknown };
    return Array.isArray(files) && files.every((name) => typeof name === 'string') ? files : null;
  } catch {
    return null; // A damaged record only costs a look at the Hub.
  }
}

/** Records that a snapshot, or a selection of its files, is complete. @throws FormatError when the disk refuses. */
export async function writeManifest(cache: RepositoryCache, commit: string, { files, selection = null }: { readonly files: readonly string[]; readonly selection?: string | null }): Promise<void> {
  await writeInFolder(manifestPath(cache, commit, selection), `${JSON.stringify({ files }, null, 2)}\n`);
}

/** Names of the files of a snapshot, complete or not. */
export async function listSnapshot(cache: RepositoryCache, commit: string): Promise<readonly string[]> {
  return (await readdir(snapshotFolder(cache, commit), { recursive: true }).catch(() => [])).sort();
}

/** The hash a snapshot's file is kept under; null where the name is no link into the blobs. */
export async function blobOf(cache: RepositoryCache, commit: string, name: string): Promise<string | null> {
  const target = await readlink(join(snapshotFolder(cache, commit), name)).catch(() => null);
  const hash = target?.split(/[\\/]/).at(-1) ?? '';
  return /^[0-9a-f]{40}(?:[0-9a-f]{24})?$/.test(hash) ? hash : null;
}

/** Puts a content into a snapshot under its name: a link, or a copy where the file system has no links. @throws FormatError when the disk refuses. */
export async function linkBlob(cache: RepositoryCache, commit: string, file: { readonly name: string; readonly hash: string }): Promise<void> {
  const path = join(snapshotFolder(cache, commit), file.name);
  const fresh = `${path}.${process.pid}.incomplete`;
  try {
    await mkdir(dirname(path), { recursive: true });
    await rm(fresh, { force: true });
    await symlink(relative(dirname(path), blobPath(cache, file.hash)), fresh).catch(async (cause: NodeJS.ErrnoException) => {
      if (cause.code !== 'EPERM' && cause.code !== 'ENOTSUP') throw cause;
      await copyFile(blobPath(cache, file.hash), fresh);
    });
    await rename(fresh, path);
  } catch (cause) {
    throw explainWriteFailure(path, cause);
  }
}

function referencePath({ folder }: RepositoryCache, revision: string): string {
  return join(folder, 'refs', ...revision.split('/'));
}

function manifestPath({ folder }: RepositoryCache, commit: string, selection: string | null): string {
  return join(folder, '.bispik', `${commit}${selection === null ? '' : `.${selection.replaceAll(/[^\w-]+/g, '.')}`}.json`);
}

async function writeInFolder(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true }).catch((cause: unknown) => { throw explainWriteFailure(path, cause); });
  await writeTextAtomically(path, text);
}

async function readOrNull(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EISDIR') return null;
    throw new FormatError(`${path} cannot be read (${code})`, { cause });
  }
}
