import { readFile } from 'node:fs/promises';

import { BackendError } from '../errors.js';
import type { WasmModule } from './api.js';
import { wasmApi } from './api.js';

/** Where the compiled kernels lie: seen from dist/src/core/wasm, and from src/core/wasm when no build is used. */
const FOLDERS = [new URL('../../../kernels/', import.meta.url), new URL('../../../dist/kernels/', import.meta.url)];
const REBUILD = 'npm run build:kernels';

/** Reads a compiled binary of `dist/kernels`. @throws BackendError when it is not built. */
export async function readKernelFile(name: string): Promise<Uint8Array> {
  for (const folder of FOLDERS) {
    try {
      return await readFile(new URL(name, folder));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  throw new BackendError(`the compiled wasm kernels are not built (dist/kernels/${name} is missing)`, { suggestions: [REBUILD] });
}

/** Compiles a binary. @throws BackendError when it is damaged or Node.js lacks what it uses. */
export async function compileKernels(binary: Uint8Array): Promise<WasmModule> {
  return wasmApi.compile(binary).catch((cause: unknown) => { throw notLoadable(cause); });
}

/** Functions of a module inside a memory. @throws BackendError when it does not load or lacks one of `names`. */
export async function instantiateModule<T>(module: WasmModule, memory: object, names: readonly string[]): Promise<T> {
  const { exports } = await wasmApi.instantiate(module, { env: { memory } }).catch((cause: unknown) => { throw notLoadable(cause); });
  const missing = names.filter((name) => typeof exports[name] !== 'function');
  if (missing.length === 0) return exports as T;
  throw new BackendError(`the compiled wasm kernels lack ${missing.join(', ')}: they are older than this code`, { suggestions: [REBUILD] });
}

function notLoadable(cause: unknown): BackendError {
  return new BackendError('the compiled wasm kernels cannot be loaded', { cause, suggestions: [REBUILD] });
}
