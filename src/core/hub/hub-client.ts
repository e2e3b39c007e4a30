import { datasetInfo, listFiles, modelInfo } from '@huggingface/hub';
import { setTimeout as sleep } from 'node:timers/promises';
import { BispikError, DownloadError, UsageError } from '../errors.js';
import type { RunContext } from '../types.js';
import type { RepositoryType } from './cache.js';
import { isCommit } from './cache.js';
import { connectionError, interruptedDownload, isPassing, statusError } from './hub-errors.js';

/** Waits between the attempts of something that failed for a reason that passes, ms. */
const RETRY_DELAYS_MS: readonly number[] = [1000, 2000, 4000];

/** Which hub to speak to, and about what. */
export interface HubClientOptions {
  readonly repo: string;
  /** Left out: a model. */ readonly type?: RepositoryType | undefined;
  readonly revision: string;
  /** Base address, e.g. `https://huggingface.co`. */ readonly endpoint: string;
  /** Sent to the endpoint only, never to the servers it forwards to. */ readonly token: string | null;
  /** Left out: Node's own. */ readonly fetch?: typeof fetch | undefined;
  /** Left out: 1, 2 and 4 seconds. */ readonly retryDelaysMs?: readonly number[] | undefined;
}

/** A file of a repository as the Hub describes it. */
export interface RemoteFile {
  readonly name: string;
  readonly sizeBytes: number;
  /** SHA-256 of a large file; of a small one the SHA-1 git gives it. */ readonly hash: string;
}

/** One repository on one hub. */
export interface HubClient {
  /** The commit a branch, tag or commit is. */ resolveCommit(): Promise<string>;
  /** Files of a commit: of a model those in the top folder, of a dataset all. */ listFiles(commit: string): Promise<readonly RemoteFile[]>;
  /** Address of a file of a commit. */ fileUrl(commit: string, name: string): string;
  /** One request; a bad status is an error. */ request(url: string, headers?: Readonly<Record<string, string>>): Promise<Response>;
  /** Tries again what failed for a reason that passes. */ retry<Result>(attempt: () => Promise<Result>): Promise<Result>;
}

/**
 * Speaks to a hub through `@huggingface/hub`, with one way of failing for all requests.
 * @throws UsageError on an endpoint that is no address; its methods DownloadError, and Interrupted when the context's signal is aborted.
 */
export function createHubClient(options: HubClientOptions, context: RunContext): HubClient {
  const endpoint = parseEndpoint(options.endpoint);
  const request = authorizedFetch({ ...options, endpoint }, context.signal);
  const retry = retrying(options.retryDelaysMs ?? RETRY_DELAYS_MS, context);
  const { repo, revision, type = 'model' } = options;
  const shared = { hubUrl: endpoint, fetch: request };
  const asked = { name: repo, revision, ...shared };
  return {
    retry,
    request: (url, headers = {}) => request(url, { headers }),
    fileUrl: (commit, name) => `${endpoint}/${type === 'model' ? '' : 'datasets/'}${repo}/resolve/${commit}/${name.split('/').map(encodeURIComponent).join('/')}`,
    resolveCommit: () => retry(() => refuseNonsense(endpoint, async () => {
      const found = await (type === 'model' ? modelInfo({ ...asked, additionalFields: ['sha'] }) : datasetInfo({ ...asked, additionalFields: ['sha'] }));
      if (!isCommit(found.sha)) throw unexpectedAnswer(endpoint, `commit ${JSON.stringify(found.sha)}`);
      return found.sha;
    })),
    listFiles: (commit) => retry(() => refuseNonsense(endpoint, async () => {
      const files: RemoteFile[] = [];
      for await (const entry of listFiles({ repo: { type, name: repo }, revision: commit, recursive: type === 'dataset', ...shared })) {
        const { oid: hash, size: sizeBytes } = entry.lfs ?? entry;
        if (entry.type === 'file' && hash !== undefined) files.push(checkEntry({ name: entry.path, sizeBytes, hash }, endpoint));
      }
      return files;
    })),
  };
}

/** An answer that is no JSON, or not of the Hub's shape, makes the library stumble: said as what it is. */
async function refuseNonsense<Result>(endpoint: string, ask: () => Promise<Result>): Promise<Result> {
  return ask().catch((cause: unknown) => {
    throw cause instanceof BispikError ? cause : unexpectedAnswer(endpoint, (cause as Error).message, cause);
  });
}

/** Hash and name become file names in the cache, so they must be such, and stay inside it. */
function checkEntry(file: RemoteFile, endpoint: string): RemoteFile {
  const isInside = file.name.split('/').every((part) => part !== '' && part !== '.' && part !== '..') && !file.name.includes('\\');
  const isSound = isInside && /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(file.hash) && Number.isSafeInteger(file.sizeBytes) && file.sizeBytes >= 0;
  if (!isSound) throw unexpectedAnswer(endpoint, `${file.name} of ${file.sizeBytes} bytes with hash ${JSON.stringify(file.hash)}`);
  return file;
}

function unexpectedAnswer(endpoint: string, found: string, cause?: unknown): DownloadError {
  return new DownloadError(`${endpoint} answered with something that is no Hub's answer: ${found}`, { url: endpoint, cause, suggestions: ['check --endpoint (HF_ENDPOINT)'] });
}

function parseEndpoint(endpoint: string): string {
  if (!URL.canParse(endpoint) || !/^https?:$/.test(new URL(endpoint).protocol)) {
    throw new UsageError(`${endpoint} is not the address of a hub`, { suggestions: ['--endpoint https://huggingface.co', 'unset HF_ENDPOINT'] });
  }
  return endpoint.replace(/\/+$/, '');
}

function authorizedFetch(options: HubClientOptions, signal: AbortSignal): typeof fetch {
  const { token, endpoint, repo, revision } = options;
  const origin = new URL(endpoint).origin;
  return async (input, init) => {
    const url = input instanceof Request ? input.url : String(input);
    const headers = new Headers(init?.headers);
    if (token !== null && new URL(url).origin === origin) headers.set('Authorization', `Bearer ${token}`);
    const response = await (options.fetch ?? fetch)(url, { ...init, headers, signal }).catch((cause: unknown) => {
      throw signal.aborted ? interruptedDownload() : connectionError(cause, url);
    });
    if (!response.ok) throw await statusError(response, { repo, revision, endpoint, hasToken: token !== null });
    return response;
  };
}

function retrying(delaysMs: readonly number[], { reporter, signal }: RunContext): HubClient['retry'] {
  return async (attempt) => {
    for (let tries = 0; ; tries++) {
      try {
        return await attempt();
      } catch (error) {
        const delayMs = delaysMs[tries];
        if (delayMs === undefined || !isPassing(error)) throw error;
        reporter.notice(`${error.message}; trying again in ${delayMs / 1000} s`);
        await sleep(delayMs, undefined, { signal }).catch(() => { throw interruptedDownload(); });
      }
    }
  };
}
