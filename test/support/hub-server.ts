import { createHash } from 'node:crypto';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A model repository: what each commit holds, and where its branches point. */
export interface ServedRepository {
  commits: Record<string, Record<string, Uint8Array>>;
  refs: Record<string, string>;
  /** Needed to see it; null: public. */ token: string | null;
}

/** A request as it arrived. `host` tells the hub from the servers it forwards large files to. */
export interface SeenRequest {
  readonly host: 'hub' | 'cdn';
  readonly path: string;
  readonly range: string | null;
  readonly authorization: string | null;
}

/** A hub on the loopback interface, speaking as much of the Hub's protocol as a download needs; its fields may be changed while it runs. */
export interface HubServer {
  readonly endpoint: string;
  readonly repositories: Map<string, ServedRepository>;
  readonly requests: SeenRequest[];
  /** Breaks the connection after so many bytes of the file's content; each entry is used once. */ readonly cuts: Map<string, number[]>;
  /** Sends nothing more after so many bytes, and leaves the connection open. */ readonly stalls: Map<string, number>;
  /** Sent instead of the file's real content. */ readonly forged: Map<string, Uint8Array>;
  /** Statuses the next requests get. */ readonly failures: number[];
  /** Whether range requests are honoured. */ hasRanges: boolean;
  close(): Promise<void>;
}

/** Files of at least this size are kept as LFS objects, by SHA-256, and served by another server. */
const LFS_BYTES = 1000;
/** Entries a page of the tree listing has; small, so that following pages is tested. */
const PAGE = 3;

/** Starts a hub and the server it forwards large files to. The caller closes it. */
export async function startHub(): Promise<HubServer> {
  const state: Omit<HubServer, 'endpoint' | 'close'> = {
    repositories: new Map(), requests: [], cuts: new Map(), stalls: new Map(), forged: new Map(), failures: [], hasRanges: true,
  };
  const cdn = createServer((request, response) => serveContent(state as HubServer, request, response));
  const cdnAddress = await listen(cdn);
  const hub = createServer((request, response) => serveHub({ state: state as HubServer, cdnAddress, endpoint }, request, response));
  const endpoint = await listen(hub);
  return Object.assign(state, { endpoint, close: async () => { await Promise.all([stop(hub), stop(cdn)]); } });
}

/** A 40-digit commit name made of one digit. */
export function commitOf(digit: string): string {
  return digit.repeat(40);
}

/** SHA-256 in hexadecimal. */
export function sha256Of(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

/** The name git gives a file's content. */
export function gitSha1Of(content: Uint8Array): string {
  return createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');
}

interface HubContext {
  readonly state: HubServer;
  readonly cdnAddress: string;
  readonly endpoint: string;
}

function serveHub({ state, cdnAddress, endpoint }: HubContext, request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '/', endpoint);
  state.requests.push(seen('hub', request));
  const failure = state.failures.shift();
  if (failure !== undefined) return fail(response, failure, 'try later');
  const api = /^\/api\/(?:models|datasets)\/([^/]+\/[^/]+)\/(revision|tree)\/([^/]+)$/.exec(url.pathname);
  const file = /^\/(?:datasets\/)?([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(url.pathname);
  const repo = state.repositories.get(api?.[1] ?? file?.[1] ?? '');
  if (repo === undefined) return fail(response, request.headers.authorization === undefined ? 401 : 404, 'Repository not found', 'RepoNotFound');
  if (repo.token !== null && request.headers.authorization !== `Bearer ${repo.token}`) return fail(response, 401, 'Invalid username or password.');
  const commit = revisionOf(repo, decodeURIComponent(api?.[3] ?? file?.[2] ?? ''));
  const files = commit === undefined ? undefined : repo.commits[commit];
  if (commit === undefined || files === undefined) return fail(response, 404, 'Invalid rev id', 'RevisionNotFound');
  if (api?.[2] === 'revision') return sendJson(response, { _id: '0', id: api[1], sha: commit, lastModified: '2022-01-01T00:00:00.000Z' });
  if (api?.[2] === 'tree') return sendTree(response, files, url);
  const name = decodeURIComponent(file?.[3] ?? '');
  const content = files[name];
  if (content === undefined) return fail(response, 404, 'Entry not found', 'EntryNotFound');
  response.setHeader('X-Repo-Commit', commit);
  if (content.length < LFS_BYTES) return sendContent(state, { request, response, name, content, etag: gitSha1Of(content) });
  response.writeHead(302, {
    Location: `${cdnAddress}/${sha256Of(content)}/${name}`, 'X-Linked-Size': content.length, 'X-Linked-Etag': `"${sha256Of(content)}"`,
  }).end();
}

function revisionOf(repo: ServedRepository, revision: string): string | undefined {
  return repo.refs[revision] ?? (revision in repo.commits ? revision : undefined);
}

function sendTree(response: ServerResponse, files: Readonly<Record<string, Uint8Array>>, url: URL): void {
  const entries = Object.entries(files).map(([path, content]) => ({
    type: 'file', path, oid: content.length < LFS_BYTES ? gitSha1Of(content) : gitSha1Of(new Uint8Array(1)), size: content.length,
    ...(content.length < LFS_BYTES ? {} : { lfs: { oid: sha256Of(content), size: content.length, pointerSize: 130 } }),
  }));
  const isDeep = url.searchParams.get('recursive') === 'true';
  const all = [{ type: 'directory', path: 'onnx', oid: commitOf('d'), size: 0 }, ...entries.filter(({ path }) => isDeep || !path.includes('/'))];
  const start = Number(url.searchParams.get('cursor') ?? 0);
  if (start + PAGE < all.length) {
    url.searchParams.set('cursor', String(start + PAGE));
    response.setHeader('Link', `<${url.href}>; rel="next"`);
  }
  sendJson(response, all.slice(start, start + PAGE));
}

function serveContent(state: HubServer, request: IncomingMessage, response: ServerResponse): void {
  state.requests.push(seen('cdn', request));
  const [, hash, name] = /^\/([0-9a-f]{64})\/(.+)$/.exec(request.url ?? '') ?? [];
  for (const repo of state.repositories.values()) {
    for (const files of Object.values(repo.commits)) {
      const content = files[name ?? ''];
      if (content !== undefined && hash === sha256Of(content)) return sendContent(state, { request, response, name: name as string, content, etag: hash });
    }
  }
  fail(response, 404, 'no such object');
}

interface Sending {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly name: string;
  readonly content: Uint8Array;
  readonly etag: string;
}

function sendContent(state: HubServer, { request, response, name, content, etag }: Sending): void {
  const whole = state.forged.get(name) ?? content;
  const start = state.hasRanges ? Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0) : 0;
  const body = whole.subarray(start);
  response.writeHead(start > 0 ? 206 : 200, {
    ETag: `"${etag}"`, 'Content-Length': body.length, 'Accept-Ranges': 'bytes',
    ...(start > 0 ? { 'Content-Range': `bytes ${start}-${whole.length - 1}/${whole.length}` } : {}),
  });
  const stall = state.stalls.get(name);
  if (stall !== undefined) return void response.write(body.subarray(0, stall));
  const cut = state.cuts.get(name)?.shift();
  if (cut === undefined) return void response.end(body);
  response.write(body.subarray(0, cut), () => setTimeout(() => response.destroy(), 20));
}

function sendJson(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(value));
}

function fail(response: ServerResponse, status: number, error: string, code?: string): void {
  response.writeHead(status, { 'Content-Type': 'application/json', ...(code === undefined ? {} : { 'X-Error-Code': code }) }).end(JSON.stringify({ error }));
}

function seen(host: SeenRequest['host'], request: IncomingMessage): SeenRequest {
  return { host, path: request.url ?? '', range: request.headers.range ?? null, authorization: request.headers.authorization ?? null };
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function stop(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => { server.close(resolve); });
}
