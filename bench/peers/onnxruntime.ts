import type { EngineShape } from '../support/engine-shapes.js';
import { startPeer } from '../support/peer.js';
import type { Side, Times } from '../support/side.js';

const SCRIPT = new URL('onnxruntime_library.py', import.meta.url).pathname;
const NONE = 'onnxruntime not found (npm install onnxruntime-node --ignore-scripts in a folder outside this repository, and name that in --onnxruntime or ONNXRUNTIME)';

/** Program and leading arguments that run onnxruntime; a string says why there is none. */
export function findOnnxruntime(folder: string | null): readonly string[] | string {
  const named = folder ?? process.env['ONNXRUNTIME'] ?? null;
  return named === null ? NONE : [process.env['PYTHON'] ?? 'python3', SCRIPT, named];
}

export interface OnnxRun {
  /** Of `writeOnnx`. */ readonly model: string;
  readonly shape: EngineShape;
  readonly threads: number;
  /** Tokens that are cached before decoding starts. */ readonly context: number;
}

/** A network in onnxruntime. */
export interface OnnxSide extends Side {
  /** Logits (N, V) of N tokens behind those that are cached, row by row. */
  logits(ids: readonly number[], cached: number): Promise<readonly number[]>;
}

/** onnxruntime in a process of its own that waits between requests. @throws Error when it does not start; the program says why on standard error. */
export async function startOnnx([program = '', ...leading]: readonly string[], { model, shape, threads, context }: OnnxRun): Promise<OnnxSide> {
  const peer = await startPeer(program, [...leading, '--model', model, '--shape', JSON.stringify(shape), '--threads', String(threads), '--context', String(context)]);
  const ask = async (request: object): Promise<unknown> => peer.ask(JSON.stringify(request));
  return {
    implementation: (peer.greeting as { implementation: string }).implementation,
    decode: async (count) => (await ask({ decode: count })) as Times,
    prefill: async ({ tokens, repeats, logits }) => (await ask({ prefill: tokens, repeats, logits })) as Times,
    logits: async (ids, cached) => (await ask({ ids, cached })) as readonly number[],
    close: peer.close,
  };
}
