import { mkdir, open, rename, rm, stat, truncate, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DownloadError, FormatError } from '../errors.js';
import type { RunContext } from '../types.js';
import { explainWriteFailure } from './atomic-write.js';
import type { ContentHashes } from './content-hash.js';
import { hasHash, hashContent } from './content-hash.js';
import type { HubClient, RemoteFile } from './hub-client.js';
import { connectionError, interruptedDownload } from './hub-errors.js';

/** A file to be fetched. */
export interface FetchJob {
  readonly file: RemoteFile;
  readonly url: string;
  /** Where it goes once it is verified; until then `*.incomplete` beside it. */ readonly path: string;
  /** Opens the incomplete file for appending; tests replace it to meet a full disk. */ readonly openFile?: ((path: string) => Promise<FileHandle>) | undefined;
}

/**
 * Fetches a file: continues an earlier attempt, checks size and hash, and only then gives it its name.
 * @throws DownloadError on a bad answer, a cut connection (what has arrived is kept) or a wrong hash (nothing is kept); FormatError on a full disk;
 * Interrupted when the signal is aborted (what has arrived is kept).
 */
export async function fetchFile(job: FetchJob, client: HubClient, context: RunContext): Promise<ContentHashes> {
  const incomplete = `${job.path}.incomplete`;
  try {
    await mkdir(dirname(job.path), { recursive: true });
    await client.retry(() => receiveRest(job, client, context));
    const content = await verify(job, incomplete, context);
    await rename(incomplete, job.path);
    return content;
  } catch (cause) {
    const explained = explainWriteFailure(job.path, cause);
    // A disk that is full is not helped by half a file.
    if (explained instanceof FormatError) await rm(incomplete, { force: true });
    throw explained;
  }
}

/** Appends what is missing of the incomplete file. */
async function receiveRest(job: FetchJob, client: HubClient, context: RunContext): Promise<void> {
  const { file, url } = job;
  const incomplete = `${job.path}.incomplete`;
  let done = await sizeOrZero(incomplete);
  if (done > file.sizeBytes) await truncate(incomplete, done = 0);
  const progress = (): void => context.reporter.progress({ phase: `download ${file.name}`, done, total: file.sizeBytes, unit: 'bytes' });
  progress();
  if (done === file.sizeBytes && done > 0) return;
  // Compressed answers would have other sizes and ranges than the file.
  const response = await client.request(url, { 'Accept-Encoding': 'identity', ...(done > 0 ? { Range: `bytes=${done}-` } : {}) });
  if (done > 0 && !continuesAt(response, done)) await truncate(incomplete, done = 0);
  const handle = await (job.openFile ?? openForAppending)(incomplete);
  try {
    for await (const piece of bodyOf(response, () => `${done} of ${file.sizeBytes} bytes of ${file.name} have arrived`, context)) {
      done += piece.length;
      if (done > file.sizeBytes) throw wrongSize(job, `more than ${file.sizeBytes}`);
      await handle.appendFile(piece);
      progress();
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  if (done < file.sizeBytes) throw connectionError(new Error('it ended early'), url, `${done} of ${file.sizeBytes} bytes of ${file.name} have arrived`);
}

/** True when an answer to a range request starts at its beginning; a server may send the whole file instead. */
function continuesAt(response: Response, start: number): boolean {
  return response.status === 206 && (response.headers.get('Content-Range') ?? '').startsWith(`bytes ${start}-`);
}

async function* bodyOf(response: Response, describeState: () => string, { signal }: RunContext): AsyncGenerator<Uint8Array> {
  if (response.body === null) return;
  const reader = response.body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((cause: unknown) => {
        throw signal.aborted ? interruptedDownload() : connectionError(cause, response.url, describeState());
      });
      if (done) return;
      yield value as Uint8Array;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

async function verify(job: FetchJob, incomplete: string, { reporter, signal }: RunContext): Promise<ContentHashes> {
  const content = await hashContent(incomplete, (done, total) => {
    if (signal.aborted) throw interruptedDownload();
    reporter.progress({ phase: `verify ${job.file.name}`, done, total, unit: 'bytes' });
  });
  if (content.sizeBytes !== job.file.sizeBytes) throw wrongSize(job, String(content.sizeBytes));
  if (hasHash(content, job.file.hash)) return content;
  await rm(incomplete, { force: true });
  const found = job.file.hash.length === 64 ? content.sha256 : content.gitSha1;
  throw new DownloadError(`${job.file.name} arrived damaged: its hash is ${found}, the Hub says ${job.file.hash}; it was thrown away`, {
    url: job.url, suggestions: ['run the same command again', 'if it happens again, a proxy on the way changes the file'],
  });
}

function wrongSize({ file, url }: FetchJob, found: string): DownloadError {
  return new DownloadError(`${file.name} has ${found} bytes, the Hub says ${file.sizeBytes}`, { url, suggestions: ['run the same command again', 'check for a proxy on the way that changes files'] });
}

function openForAppending(path: string): Promise<FileHandle> {
  return open(path, 'a');
}

async function sizeOrZero(path: string): Promise<number> {
  return stat(path).then(({ size }) => size, (cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return 0;
    throw cause;
  });
}
