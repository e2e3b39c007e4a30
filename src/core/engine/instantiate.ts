import type { WasmMemory, WasmModule } from '../wasm/api.js';
import { compileKernels, instantiateModule, readKernelFile } from '../wasm/kernel-files.js';
import type { EngineKernels } from './kernels.js';
import { KERNEL_NAMES } from './kernels.js';

/** Lets the threads of a group wait for each other; three i32 at `at`, see assembly/engine/barrier.ts. */
export type Barrier = (at: number, threads: number, spins: number) => void;

/** What the binary for shared memory offers beside the kernels. */
export interface ThreadKernels {
  readonly kernels: EngineKernels;
  readonly barrier: Barrier;
}

/** Compiles the kernels: those for a memory of one thread, or those for a shared one. @throws BackendError when they are not built. */
export async function compileEngine(isShared: boolean): Promise<WasmModule> {
  return compileKernels(await readKernelFile(isShared ? 'engine-threads.wasm' : 'engine.wasm'));
}

/** The WebAssembly kernels over a memory of one thread. @throws BackendError when they are not built or do not fit this code. */
export async function instantiateEngine(memory: WasmMemory): Promise<EngineKernels> {
  return instantiateModule(await compileEngine(false), memory, KERNEL_NAMES);
}

/** The WebAssembly kernels and the barrier over a shared memory. @throws BackendError */
export async function instantiateThreads(module: WasmModule, memory: WasmMemory): Promise<ThreadKernels> {
  const all = await instantiateModule<EngineKernels & { readonly barrier: Barrier }>(module, memory, [...KERNEL_NAMES, 'barrier']);
  return { kernels: all, barrier: all.barrier };
}
