import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import { UsageError } from '../errors.js';
import type { ServedModel } from './answer.js';
import { answer } from './answer.js';
import { ApiError } from './api-error.js';
import { readJsonBody } from './body.js';
import { completionDocument } from './documents.js';
import { parseCompletionRequest } from './request.js';
import type { WorkQueue } from './work-queue.js';
import { createWorkQueue } from './work-queue.js';

/** What a server allows. */
export interface ServerLimits {
  /** Requests that are computed at the same time, token by token in turn. */ readonly concurrency: number;
  /** Requests that wait beside them; the next one is refused with 429. */ readonly queue: number;
  /** Of a request's body. */ readonly bodyBytes: number;
  /** Until a client has sent its whole request. */ readonly requestMs: number;
  /** From a request's arrival to the end of its answer. */ readonly answerMs: number;
  /** Given to answers under way when the server ends. */ readonly graceMs: number;
}

export const DEFAULT_LIMITS: ServerLimits = { concurrency: 8, queue: 256, bodyBytes: 4 * 2 ** 20, requestMs: 30_000, answerMs: 600_000, graceMs: 10_000 };

export interface ServerOptions {
  readonly served: ServedModel;
  readonly host: string;
  /** 0: any free one. */ readonly port: number;
  readonly limits: ServerLimits;
  /** Hears of answers that failed through no fault of the client. */ readonly onError: (message: string) => void;
}

/** What a server has done so far. */
export interface ServerCounts {
  readonly requests: number;
  readonly failed: number;
  readonly promptTokens: number;
  readonly newTokens: number;
}

/** A server that answers. */
export interface RunningServer {
  readonly url: string;
  readonly counts: ServerCounts;
  /** Requests being answered, and waiting. */ readonly load: { readonly running: number; readonly waiting: number };
  /** Takes no new requests, lets those under way end within the grace time, and closes. */
  close(): Promise<void>;
}

interface Site {
  readonly options: ServerOptions;
  readonly queue: WorkQueue;
  readonly counts: { requests: number; failed: number; promptTokens: number; newTokens: number };
  /** Being answered, and what ends the work on each. */ readonly open: Map<ServerResponse, AbortController>;
}

/** A client that takes nothing of its finished answer for this long is given up. */
const IDLE_MS = 30_000;
/** Why the work on an answer ends that nobody waits for. */
const GONE = new Error('the client has left');
const LOOPBACK = new Set(['127.0.0.1', 'localhost', '::1', '[::1]']);

/**
 * Answers `POST /v1/completions`, `GET /v1/models` and `GET /health` (OpenAI's interface). Nothing of a request names a file. Answers are kept in memory until
 * a client takes them, so that a slow reader holds no place in the queue. @throws UsageError when the address cannot be listened on.
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { limits, host, port } = options;
  const site: Site = {
    options, queue: createWorkQueue({ concurrency: limits.concurrency, capacity: limits.queue }),
    counts: { requests: 0, failed: 0, promptTokens: 0, newTokens: 0 }, open: new Map(),
  };
  const server = createServer({ requestTimeout: limits.requestMs, headersTimeout: Math.min(limits.requestMs, 10_000), keepAliveTimeout: 5_000, connectionsCheckingInterval: Math.min(limits.requestMs, 1_000) },
    (request, response) => { void handle(site, request, response); });
  // A connection that neither gives nor takes for so long that its answer must have ended is closed.
  server.setTimeout(limits.answerMs + IDLE_MS);
  await listen(server, host, port);
  const { port: bound } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}`,
    get counts() { return { ...site.counts }; },
    get load() { return { running: site.queue.running, waiting: site.queue.waiting }; },
    close: () => close(server, site),
  };
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const what = cause.code === 'EADDRINUSE' ? `port ${port} of ${host} is in use` : `${host}:${port} cannot be listened on: ${cause.message}`;
      reject(new UsageError(what, { cause, suggestions: ['--port 0 (any free one)'] }));
    });
    server.listen(port, host, () => { resolve(); });
  });
}

async function close(server: Server, site: Site): Promise<void> {
  const closed = new Promise<void>((resolve) => { server.close(() => { resolve(); }); });
  server.closeIdleConnections();
  for (const response of site.open.keys()) response.shouldKeepAlive = false;
  const grace = setTimeout(() => {
    for (const control of site.open.values()) control.abort(new ApiError(503, 'the server is shutting down', { code: 'shutting_down' }));
  }, site.options.limits.graceMs);
  await site.queue.close();
  clearTimeout(grace);
  // What is written already still has to reach its client, but nobody can hold the server open.
  const last = setTimeout(() => { server.closeAllConnections(); }, Math.min(1_000, site.options.limits.graceMs));
  server.closeIdleConnections();
  await closed;
  clearTimeout(last);
}

async function handle(site: Site, request: IncomingMessage, response: ServerResponse): Promise<void> {
  site.counts.requests++;
  const control = new AbortController();
  site.open.set(response, control);
  response.on('close', () => {
    site.open.delete(response);
    control.abort(GONE);
  });
  response.on('error', () => undefined); // the client has left: `close` says so too
  try {
    await route(site, { request, response, control });
  } catch (error) {
    if (error === GONE || response.destroyed) return;
    const failure = error instanceof ApiError ? error : new ApiError(500, 'the answer failed; the server\'s own output says why');
    if (failure.status >= 500) site.counts.failed++;
    if (!(error instanceof ApiError)) site.options.onError(error instanceof Error ? error.message : String(error));
    refuse(request, response, failure);
  }
}

/** A client's request and its way back. */
interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Ends the work: the client has left, it takes too long, or the server ends. */ readonly control: AbortController;
}

async function route(site: Site, exchange: Exchange): Promise<void> {
  const { request, response } = exchange;
  const { served, host } = site.options;
  if (LOOPBACK.has(host)) requireLoopbackName(request);
  const path = (request.url ?? '/').split('?', 1)[0];
  const routes: Readonly<Record<string, readonly [method: string, reply: () => void | Promise<void>]>> = {
    '/v1/completions': ['POST', () => complete(site, exchange)],
    '/v1/models': ['GET', () => { sendJson(response, 200, { object: 'list', data: [{ id: served.name, object: 'model', created: 0, owned_by: 'bispik' }] }); }],
    '/health': ['GET', () => { sendJson(response, 200, { status: 'ok', ...site.counts, running: site.queue.running, waiting: site.queue.waiting }); }],
  };
  const found = routes[path ?? ''];
  if (found === undefined) throw new ApiError(404, `there is no ${path}; there are ${Object.keys(routes).join(', ')}`);
  const [method, reply] = found;
  if (request.method !== method) throw new ApiError(405, `${path} takes ${method}, not ${request.method}`);
  await reply();
}

/** A web page elsewhere may make its own name point at this machine; its requests then carry that name. */
function requireLoopbackName({ headers }: IncomingMessage): void {
  const name = (headers.host ?? '').replace(/:\d+$/, '');
  if (!LOOPBACK.has(name)) throw new ApiError(403, `this server answers to 127.0.0.1 and localhost, not to "${name}"`);
}

async function complete(site: Site, { request, response, control }: Exchange): Promise<void> {
  const { served, limits } = site.options;
  const body = await readJsonBody(request, limits.bodyBytes);
  const { model, request: asked } = parseCompletionRequest(body);
  if (model !== served.name) throw new ApiError(404, `there is no model "${model}" here; this server has "${served.name}"`, { param: 'model', code: 'model_not_found' });
  const { signal } = control;
  const late = setTimeout(() => { control.abort(new ApiError(504, `the answer took longer than ${limits.answerMs / 1000} s`, { code: 'timeout' })); }, limits.answerMs);
  try {
    const { document, usage } = await site.queue.run(() => answer(served, { request: asked, signal, onPart: asked.stream ? (part) => { sendEvent(response, part); } : null }), signal);
    site.counts.promptTokens += usage.prompt_tokens;
    site.counts.newTokens += usage.completion_tokens;
    if (!asked.stream) return sendJson(response, 200, document);
    if (asked.hasStreamUsage) sendEvent(response, completionDocument(document as Parameters<typeof completionDocument>[0], [], usage));
    response.end('data: [DONE]\n\n');
  } finally {
    clearTimeout(late);
  }
}

function sendEvent(response: ServerResponse, document: object): void {
  if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' });
  response.write(`data: ${JSON.stringify(document)}\n\n`);
}

function sendJson(response: ServerResponse, status: number, document: object): void {
  const body = JSON.stringify(document);
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', 'content-length': Buffer.byteLength(body) });
  response.end(body);
}

/** Says no: as the answer, or, within a stream, as its last event. */
function refuse(request: IncomingMessage, response: ServerResponse, error: ApiError): void {
  if (response.headersSent) {
    response.end(`data: ${JSON.stringify(error.toJson())}\n\n`);
    return;
  }
  if (error.status === 429 || error.status === 503) response.setHeader('retry-after', '1');
  // What the client still sends of a refused request is not read; the connection ends with the answer.
  if (!request.complete) response.setHeader('connection', 'close');
  sendJson(response, error.status, error.toJson());
}
