import { cpus } from 'node:os';
import { setFlagsFromString } from 'node:v8';

import * as tf from '@tensorflow/tfjs-core';

import { BackendError } from '../errors.js';
import type { StartedBackend } from './started.js';
import { guardAllocations } from './memory-limits.js';
import { activate } from './started.js';
import { readKernelBinary } from './wasm-kernels/binary.js';
import type { WasmBackend } from './wasm-kernels/heap.js';
import { openKernelHeap } from './wasm-kernels/heap.js';
import { registerKernels } from './wasm-kernels/register.js';

/** The backend that has our kernels, and whether they have fused multiply-add. */
let extended: { readonly backend: object; readonly hasFusedMultiplyAdd: boolean } | null = null;

/** Starts the WebAssembly backend and gives it our kernels. @throws BackendError when either does not load. */
export async function startWasm(): Promise<StartedBackend> {
  suitV8ToTensors();
  const { getThreadsCount } = await import('@tensorflow/tfjs-backend-wasm');
  if (!(await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT'))) {
    throw new BackendError('this processor or Node.js has no WebAssembly SIMD, which the wasm kernels need');
  }
  await withoutNewListeners(() => activate('wasm'));
  const { hasFusedMultiplyAdd } = await registerWasmKernels();
  await activate('wasm'); // once more, now through our own matrix product
  const processor = cpus()[0]?.model.trim() ?? process.arch;
  const threads = getThreadsCount();
  return {
    device: `${processor} (WebAssembly SIMD${hasFusedMultiplyAdd ? ' with fused multiply-add' : ''}, ${threads} ${threads === 1 ? 'thread' : 'threads'})`,
    capabilities: { spikingKernels: true, synchronousRead: true, software: false },
  };
}

/**
 * V8 learns within a few steps that the objects which stand for tensors often outlive a collection, and then makes all of them in the old space, where
 * only full collections free them: one every ten steps, each of which also throws away compiled code. Left young, they are freed with the step that made them.
 * And that of Node.js 20 compiles a function early, on what it has seen of it so far; the few functions around the kernels see tensors of many kinds, so that much
 * of that is compiled again and again, on cores that the training threads need. They may run nine times as long first. Later ones do not know the flag and would say so.
 */
function suitV8ToTensors(): void {
  setFlagsFromString('--no-allocation-site-pretenuring');
  if (process.versions.v8.startsWith('11.3.')) setFlagsFromString('--interrupt-budget=600000');
}

const FATAL_EVENTS = ['uncaughtException', 'unhandledRejection'] as const;

/** The backend's module installs listeners that rethrow every error of the program, printing its whole minified source line. */
async function withoutNewListeners(start: () => Promise<void>): Promise<void> {
  const before = FATAL_EVENTS.map((event) => process.listeners(event as 'uncaughtException'));
  await start();
  FATAL_EVENTS.forEach((event, i) => {
    for (const listener of process.listeners(event as 'uncaughtException')) {
      if (before[i]?.includes(listener) !== true) process.removeListener(event, listener);
    }
  });
}

/**
 * Adds the spiking kernels to the active wasm backend and replaces its slow standard ones; a second call does nothing.
 * @throws BackendError when the kernels are not built or the backend's memory cannot be reached.
 */
async function registerWasmKernels(): Promise<{ readonly hasFusedMultiplyAdd: boolean }> {
  const backend = tf.backend();
  if (extended?.backend === backend) return extended;
  const { bytes, hasFusedMultiplyAdd } = await readKernelBinary();
  guardAllocations(backend);
  registerKernels(await openKernelHeap(backend as unknown as WasmBackend, bytes));
  extended = { backend, hasFusedMultiplyAdd };
  return extended;
}
