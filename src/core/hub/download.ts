import { stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { DownloadError, UsageError } from '../errors.js';
import type { RunContext } from '../types.js';
import type { RepositoryCache, RepositoryType } from './cache.js';
import { blobOf, blobPath, isCommit, linkBlob, listSnapshot, readManifest, readReference, repositoryCache, snapshotFolder, writeManifest, writeReference } from './cache.js';
import { hasHash, hashContent } from './content-hash.js';
import { fetchFile } from './fetch-file.js';
import type { HubClient, RemoteFile } from './hub-client.js';
import { createHubClient } from './hub-client.js';
import { ConnectionError, interruptedDownload } from './hub-errors.js';
import type { LocalSnapshot, SnapshotFile } from './local-snapshot.js';
import { chooseFiles } from './wanted-files.js';

/** Which files of a repository are wanted. */
export interface WantedContent {
  readonly type: RepositoryType;
  /** Names this choice among others of the same repository; null: there is only one. */ readonly selection: string | null;
  /** @throws FormatError when what is wanted is not among the names. */ readonly choose: (present: readonly string[], source: string) => readonly string[];
}

const MODEL_CONTENT: WantedContent = { type: 'model', selection: null, choose: chooseFiles };

/** What to download, from where, and where it is kept. */
export interface DownloadOptions {
  /** `owner/name` on the Hub. */ readonly repo: string;
  /** Branch, tag or commit. */ readonly revision: string;
  readonly token: string | null;
  /** Base address of the Hub. */ readonly endpoint: string;
  /** In the layout of Hugging Face's own tools. */ readonly cacheDir: string;
  /** Use the cache only, touch no network. */ readonly offline: boolean;
  /** Left out: what an import needs of a model. */ readonly content?: WantedContent;
  /** Replaced by tests. */ readonly fetch?: typeof fetch;
  readonly retryDelaysMs?: readonly number[];
  readonly openFile?: (path: string) => Promise<FileHandle>;
}

/**
 * Brings the wanted files of a repository into the cache: by default those of a model that an import needs. A branch or tag is resolved to a commit once, and all files are of that
 * commit. A commit that is completely cached needs no network; everything cached is hashed again before it is used.
 * @throws UsageError on a malformed repository id, revision or endpoint; DownloadError; FormatError when the disk refuses or there are no weights;
 * Interrupted when the signal is aborted (what has arrived is kept and continued).
 */
export async function downloadSnapshot(options: DownloadOptions, context: RunContext): Promise<LocalSnapshot> {
  checkNames(options);
  const { type, selection } = contentOf(options);
  const cache = repositoryCache(options.cacheDir, options.repo, type);
  if (options.offline) return cachedSnapshot(options, cache, context);
  const client = createHubClient({ ...options, type }, context);
  const commit = await findCommit({ options, cache, client }, context);
  const known = await readManifest(cache, commit, selection);
  const snapshot = known === null ? null : await readCached({ options, cache, commit, names: known }, context);
  const result = snapshot ?? await fetchSnapshot({ options, cache, client, commit }, context);
  if (!isCommit(options.revision)) await writeReference(cache, options.revision, commit);
  return result;
}

const contentOf = ({ content = MODEL_CONTENT }: DownloadOptions): WantedContent => content;

/** Letters, digits and `._-`, so that no name leaves the cache folder. */
const NAME = /^[A-Za-z0-9][\w.-]*$/;

function checkNames({ repo, revision }: DownloadOptions): void {
  const parts = repo.split('/');
  if (parts.length > 2 || !parts.every((part) => NAME.test(part)) || repo.includes('--') || repo.includes('..')) {
    throw new UsageError(`${repo} is not a repository id of the Hub`, { suggestions: ['bispik import-teacher facebook/opt-125m --out models/opt-125m'] });
  }
  if (!revision.split('/').every((part) => NAME.test(part)) || revision.includes('..')) {
    throw new UsageError(`${JSON.stringify(revision)} is not a branch, tag or commit`, { suggestions: ['--revision main'] });
  }
}

interface Place {
  readonly options: DownloadOptions;
  readonly cache: RepositoryCache;
}

/** The commit to use; where the Hub cannot be reached, the one the branch pointed at last, told as a notice. */
async function findCommit({ options, cache, client }: Place & { client: HubClient }, { reporter }: RunContext): Promise<string> {
  if (isCommit(options.revision)) return options.revision;
  try {
    return await client.resolveCommit();
  } catch (error) {
    if (!(error instanceof ConnectionError)) throw error;
    const last = await readReference(cache, options.revision);
    if (last === null || (await readManifest(cache, last, contentOf(options).selection)) === null) throw error;
    reporter.notice(`${error.message}; using the cached commit ${last}, which was ${options.revision} when it was downloaded`);
    return last;
  }
}

async function cachedSnapshot(options: DownloadOptions, cache: RepositoryCache, context: RunContext): Promise<LocalSnapshot> {
  const { repo, revision, cacheDir, endpoint } = options;
  const commit = isCommit(revision) ? revision : await readReference(cache, revision);
  const { selection, choose } = contentOf(options);
  const names = commit === null ? [] : await readManifest(cache, commit, selection) ?? choose(await listSnapshot(cache, commit), `the cached part of ${repo}`);
  const snapshot = commit === null || names.length === 0 ? null : await readCached({ options, cache, commit, names }, context);
  if (snapshot !== null) return snapshot;
  throw new DownloadError(`${repo} at ${revision} is not (completely) in ${cacheDir}`, { url: `${endpoint}/${repo}`, suggestions: ['run the command once without --offline', 'or name the cache it is in: --cache-dir DIR (HF_HOME)'] });
}

/** The snapshot as it is cached; null when a file is missing or not what its name in the cache says. */
async function readCached({ options, cache, commit, names }: Place & { commit: string; names: readonly string[] }, context: RunContext): Promise<LocalSnapshot | null> {
  const folder = snapshotFolder(cache, commit);
  const files: SnapshotFile[] = [];
  for (const name of names) {
    const path = join(folder, name);
    if (!(await isFile(path))) return null;
    const hash = await blobOf(cache, commit, name);
    const { gitSha1, ...content } = await hashContent(path, watch(name, context));
    if (hash !== null && !hasHash({ ...content, gitSha1 }, hash)) {
      context.reporter.notice(`${path} is damaged: its content is not ${hash}`);
      return null;
    }
    files.push({ name, ...content });
  }
  return { folder, source: options.repo, commit, files };
}

async function fetchSnapshot({ options, cache, client, commit }: Place & { client: HubClient; commit: string }, context: RunContext): Promise<LocalSnapshot> {
  const { selection, choose } = contentOf(options);
  const remote = new Map((await client.listFiles(commit)).map((file) => [file.name, file]));
  const names = choose([...remote.keys()], options.repo);
  const files: SnapshotFile[] = [];
  for (const name of names) {
    const file = remote.get(name) as RemoteFile;
    const content = await bringBlob({ options, cache, client, commit, file }, context);
    await linkBlob(cache, commit, file);
    files.push({ name, ...content });
  }
  await writeManifest(cache, commit, { files: names, selection });
  return { folder: snapshotFolder(cache, commit), source: options.repo, commit, files };
}

/** Uses a content that is there already, e.g. from another commit, once its hash is right; fetches it otherwise. */
async function bringBlob({ options, cache, client, commit, file }: Place & { client: HubClient; commit: string; file: RemoteFile }, context: RunContext): Promise<Omit<SnapshotFile, 'name'>> {
  const path = blobPath(cache, file.hash);
  if (await isFile(path)) {
    const { gitSha1, ...content } = await hashContent(path, watch(file.name, context));
    if (hasHash({ ...content, gitSha1 }, file.hash)) return content;
    context.reporter.notice(`${path} is damaged and is downloaded again`);
  }
  const { sizeBytes, sha256 } = await fetchFile({ file, url: client.fileUrl(commit, file.name), path, openFile: options.openFile }, client, context);
  return { sizeBytes, sha256 };
}

function watch(name: string, { reporter, signal }: RunContext): (done: number, total: number) => void {
  return (done, total) => {
    if (signal.aborted) throw interruptedDownload();
    reporter.progress({ phase: `verify ${name}`, done, total, unit: 'bytes' });
  };
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then((found) => found.isFile(), () => false);
}
