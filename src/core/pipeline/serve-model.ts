import { basename, resolve } from 'node:path';

import { UsageError } from '../errors.js';
import type { ServerCounts } from '../serve/server.js';
import { DEFAULT_LIMITS, startServer } from '../serve/server.js';
import { loadTokenizer } from '../tokenizer/load.js';
import type { RunContext } from '../types.js';
import { GENERATE_PRECISION } from './generate-text.js';
import type { RunWith } from './open-model.js';
import { checkRunWith, findModel, openModel } from './open-model.js';
import { hasTokenizer } from './tokenizer-files.js';

/** What `bispik serve` was asked. */
export interface ServeOptions extends RunWith {
  /** Student, run or teacher folder. */ readonly model: string;
  /** What requests call it; null: the folder's name. */ readonly name: string | null;
  readonly host: string;
  readonly port: number;
  /** Requests computed at the same time. */ readonly concurrency: number;
  /** Hears where the server answers, once it does. */ readonly onReady: (ready: { readonly url: string; readonly name: string }) => void;
}

/** What a server did until it was told to end. */
export interface ServeReport extends ServerCounts {
  readonly url: string;
  readonly model: string;
  readonly elapsedMs: number;
}

/** Serves a model until `ctx.signal` is raised, then ends in good order. @throws UsageError on an address in use or a model without a tokenizer. */
export async function serveModel(options: ServeOptions, ctx: RunContext): Promise<ServeReport> {
  checkRunWith(options);
  const found = await findModel(options.model);
  if (!(await hasTokenizer(found.folder))) throw new UsageError(`${found.folder} has no tokenizer, so it cannot read a prompt`);
  const name = options.name ?? basename(resolve(found.folder));
  const tokenizer = await loadTokenizer(found.folder);
  const model = await openModel(found, { ...options, precision: options.precision ?? GENERATE_PRECISION }, ctx.reporter);
  const startMs = performance.now();
  try {
    const server = await startServer({
      served: { model, tokenizer, name }, host: options.host, port: options.port, limits: { ...DEFAULT_LIMITS, concurrency: options.concurrency },
      onError: (message) => { ctx.reporter.notice(`an answer failed: ${message}`); },
    });
    options.onReady({ url: server.url, name });
    if (!ctx.signal.aborted) await new Promise<void>((ended) => { ctx.signal.addEventListener('abort', () => { ended(); }, { once: true }); });
    await server.close();
    return { url: server.url, model: name, ...server.counts, elapsedMs: Math.round(performance.now() - startMs) };
  } finally {
    model.dispose();
  }
}
