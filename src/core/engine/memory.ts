import { BackendError } from '../errors.js';
import { SECTION_ALIGNMENT, WASM_MEMORY_BYTES } from './layout.js';
import type { WasmMemory } from '../wasm/api.js';
import { WASM_PAGE_BYTES, wasmApi } from '../wasm/api.js';

/** The one memory an engine works in. Addresses below the first allocation stay unused, so that 0 is never a valid one. */
export interface EngineMemory {
  readonly memory: WasmMemory;
  readonly isShared: boolean;
  /** Bytes handed out so far. */ readonly usedBytes: number;
  /** A zeroed stretch of `bytes` at a multiple of 64; the memory grows when it must. @throws BackendError when 4 GiB are not enough. */
  allocate(bytes: number): number;
  bytes(address: number, length: number): Uint8Array;
  floats(address: number, length: number): Float32Array;
  doubles(address: number, length: number): Float64Array;
  words(address: number, length: number): Uint32Array;
}

/** A memory that grows as it is handed out. */
export function createMemory(isShared: boolean): EngineMemory {
  const memory = new wasmApi.Memory({ initial: 1, maximum: WASM_MEMORY_BYTES / WASM_PAGE_BYTES, shared: isShared });
  let end = SECTION_ALIGNMENT;
  return {
    memory,
    isShared,
    get usedBytes() { return end; },
    allocate: (bytes) => {
      const address = end;
      end += Math.ceil(bytes / SECTION_ALIGNMENT) * SECTION_ALIGNMENT;
      growTo(memory, end);
      return address;
    },
    bytes: (address, length) => new Uint8Array(memory.buffer, address, length),
    floats: (address, length) => new Float32Array(memory.buffer, address, length),
    doubles: (address, length) => new Float64Array(memory.buffer, address, length),
    words: (address, length) => new Uint32Array(memory.buffer, address, length),
  };
}

function growTo(memory: WasmMemory, bytes: number): void {
  const missing = Math.ceil((bytes - memory.buffer.byteLength) / WASM_PAGE_BYTES);
  if (missing <= 0) return;
  try {
    memory.grow(missing);
  } catch (cause) {
    throw new BackendError(`the engine needs ${bytes} bytes in all, which its memory (at most ${WASM_MEMORY_BYTES}) or this machine does not have`, {
      cause, suggestions: ['--precision int8', '--precision int4'],
    });
  }
}
