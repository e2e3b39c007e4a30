import { readFile } from 'node:fs/promises';

import { BackendError } from '../errors.js';
import type { EngineKernels } from './kernels.js';
import { KERNEL_NAMES } from './kernels.js';
import type { WasmMemory, WasmModule } from './webassembly.js';
import { wasmApi } from './webassembly.js';

/** Where the compiled kernels lie: seen from dist/src/core/engine, and from src/core/engine when no build is used. */
const BINARY_FOLDERS = [new URL('../../../kernels/', import.meta.url), new URL('../../../dist/kernels/', import.meta.url)];
const REBUILD = 'npm run build:kernels';

/** Lets the threads of a group wait for each other; three i32 at `at`, see assembly/engine/barrier.ts. */
export type Barrier = (at: number, threads: number, spins: number) => void;

/** What the binary for shared memory offers beside the kernels. */
export interface ThreadKernels {
  readonly kernels: EngineKernels;
  readonly barrier: Barrier;
}

/** Compiles the kernels: those for a memory of one thread, or those for a shared one. @throws BackendError when they are not built. */
export async function compileEngine(isShared: boolean): Promise<WasmModule> {
  const name = isShared ? 'engine-threads.wasm' : 'engine.wasm';
  for (const folder of BINARY_FOLDERS) {
    try {
      return await wasmApi.compile(await readFile(new URL(name, folder)));
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') continue;
      throw new BackendError(`the engine's kernels (${name}) cannot be compiled: WebAssembly SIMD is missing or the file is damaged`, { cause, suggestions: [REBUILD] });
    }
  }
  throw new BackendError(`the engine's kernels are not built (dist/kernels/${name} is missing)`, { suggestions: [REBUILD] });
}

/** The WebAssembly kernels over a memory of one thread. @throws BackendError when they are not built or do not fit this code. */
export async function instantiateEngine(memory: WasmMemory): Promise<EngineKernels> {
  return checked(await exportsOf(await compileEngine(false), memory), KERNEL_NAMES) as unknown as EngineKernels;
}

/** The WebAssembly kernels and the barrier over a shared memory. @throws BackendError */
export async function instantiateThreads(module: WasmModule, memory: WasmMemory): Promise<ThreadKernels> {
  const all = checked(await exportsOf(module, memory), [...KERNEL_NAMES, 'barrier']);
  return { kernels: all as unknown as EngineKernels, barrier: all['barrier'] as Barrier };
}

async function exportsOf(module: WasmModule, memory: WasmMemory): Promise<Readonly<Record<string, unknown>>> {
  try {
    return (await wasmApi.instantiate(module, { env: { memory } })).exports;
  } catch (cause) {
    throw new BackendError('the engine\'s kernels cannot be loaded', { cause, suggestions: [REBUILD] });
  }
}

function checked(exports: Readonly<Record<string, unknown>>, names: readonly string[]): Readonly<Record<string, unknown>> {
  const missing = names.filter((name) => typeof exports[name] !== 'function');
  if (missing.length === 0) return exports;
  throw new BackendError(`the engine's kernels lack ${missing.join(', ')}: they are older than this code`, { suggestions: [REBUILD] });
}
