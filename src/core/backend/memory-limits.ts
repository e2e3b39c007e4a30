import { freemem } from 'node:os';

import * as tf from '@tensorflow/tfjs-core';

import { BackendError } from '../errors.js';
import type { ComputeBackend } from './select.js';

/** Where the memory of the WebAssembly backend ends: addresses have 32 bits, and the last page stays unused. */
const WASM_HEAP_BYTES = 4_294_901_760;

/** How much a backend can hold. */
export interface MemoryLimits {
  /** Of all tensors together; null where nothing tells. */ readonly totalBytes: number | null;
  /** Of one tensor; null where only the total counts. */ readonly tensorBytes: number | null;
  /** What sets the total. */ readonly source: string;
}

/** What the active backend can hold at this moment. WebGPU tells no total: only the largest buffer. */
export function memoryLimits(backend: ComputeBackend): MemoryLimits {
  if (backend === 'webgpu') {
    const { device } = tf.backend() as unknown as { readonly device?: { readonly limits?: { readonly maxBufferSize?: number } } };
    return { totalBytes: null, tensorBytes: device?.limits?.maxBufferSize ?? null, source: 'the adapter' };
  }
  const available = (process as { availableMemory?: () => number }).availableMemory?.() ?? freemem();
  if (backend === 'wasm' && available >= WASM_HEAP_BYTES) return { totalBytes: WASM_HEAP_BYTES, tensorBytes: null, source: 'the memory of WebAssembly' };
  return { totalBytes: available, tensorBytes: null, source: 'the free memory of this machine' };
}

/** The parts of the WebAssembly backend used here. */
interface WasmAllocator {
  readonly wasm: { _malloc: (bytes: number) => number; readonly HEAPU8: Uint8Array };
}

/**
 * Makes an exhausted WebAssembly memory an error. The backend itself takes whatever address a failed allocation returns for a place to write to.
 * @throws BackendError from whatever computes, once there is no room.
 */
export function guardAllocations(backend: object): void {
  const { wasm } = backend as WasmAllocator;
  const allocate = wasm._malloc;
  wasm._malloc = (bytes) => {
    // More than 32 bits can tell would come back as a smaller piece.
    const address = bytes > WASM_HEAP_BYTES ? 0 : allocate(bytes) >>> 0;
    // Where its arithmetic has wrapped around, the allocator hands out memory that is not there.
    if (bytes > 0 && (address === 0 || address + bytes > wasm.HEAPU8.buffer.byteLength)) throw new BackendError(`out of memory: no room for a tensor of ${(bytes / 1e6).toFixed(1)} MB in the ${(WASM_HEAP_BYTES / 1e9).toFixed(1)} GB of WebAssembly`);
    return address;
  };
}

/** True for whatever a backend or Node.js throws when memory is exhausted. */
export function isOutOfMemory(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  if (error instanceof BackendError) return /out of memory/i.test(error.message);
  if (error instanceof RangeError) return /allocation failed|Invalid typed array length|Invalid array buffer length/i.test(error.message);
  return error.name === 'RuntimeError' && /memory access out of bounds|Aborted/.test(error.message); // an allocation inside a kernel of the backend
}
