import type { EngineKernels } from '../../src/core/engine/kernels.js';
import { referenceKernels } from '../../src/core/engine/reference.js';
import type { WasmMemory } from '../../src/core/wasm/api.js';
import { wasmApi } from '../../src/core/wasm/api.js';

/** A memory for engine kernels laid out by a test: arrays are placed one after another and read back by address. */

type NumberArray = Int8Array | Uint8Array | Int16Array | Int32Array | Uint32Array | Float32Array | Float64Array;

/** What a test placed, so that a failure can say where it is. */
export interface PlacedArray {
  readonly label: string;
  readonly address: number;
  readonly sizeBytes: number;
  /** View of `count` elements of the same type in the same place of any memory. */
  readonly view: (buffer: ArrayBufferLike) => NumberArray;
}

export interface KernelArena {
  readonly memory: { readonly buffer: ArrayBufferLike };
  readonly placed: readonly PlacedArray[];
  /** Copies an array to the next free address, a multiple of 16. */
  place(values: NumberArray, label: string): number;
  floats(address: number, count: number): Float32Array;
  ints(address: number, count: number): Int32Array;
  doubles(address: number, count: number): Float64Array;
  bytes(address: number, count: number): Uint8Array;
}

// Address 0 is left free, so that a forgotten address shows.
const FIRST_ADDRESS = 64;

function viewOf(values: NumberArray, address: number): (buffer: ArrayBufferLike) => NumberArray {
  const View = values.constructor as new (buffer: ArrayBufferLike, address: number, count: number) => NumberArray;
  return (buffer) => new View(buffer, address, values.length);
}

export function createArena(memory: { readonly buffer: ArrayBufferLike }): KernelArena {
  const placed: PlacedArray[] = [];
  let next = FIRST_ADDRESS;
  return {
    memory,
    placed,
    place: (values, label) => {
      const address = next;
      const view = viewOf(values, address);
      view(memory.buffer).set(values);
      placed.push({ label, address, sizeBytes: values.byteLength, view });
      next = Math.ceil((address + values.byteLength) / 16) * 16;
      return address;
    },
    floats: (address, count) => new Float32Array(memory.buffer, address, count),
    ints: (address, count) => new Int32Array(memory.buffer, address, count),
    doubles: (address, count) => new Float64Array(memory.buffer, address, count),
    bytes: (address, count) => new Uint8Array(memory.buffer, address, count),
  };
}


/** A WebAssembly memory of `pages` times 64 KiB. */
export function createWasmMemory(pages: number): WasmMemory {
  return new wasmApi.Memory({ initial: pages });
}

/** A zeroed arena and the reference kernels on it. */
export function referenceArena(sizeBytes = 1 << 20): { readonly arena: KernelArena; readonly kernels: EngineKernels } {
  const memory = { buffer: new ArrayBuffer(sizeBytes) };
  return { arena: createArena(memory), kernels: referenceKernels(memory) };
}

/** Spike words of vectors given as lists of the channels that fired. */
export function packSpikes(vectors: readonly (readonly number[])[], words: number): Uint8Array {
  const bytes = new Uint8Array(8 * words * vectors.length);
  vectors.forEach((channels, v) => {
    for (const channel of channels) {
      const byte = 8 * words * v + (channel >> 3);
      bytes[byte] = (bytes[byte] ?? 0) | (1 << (channel & 7));
    }
  });
  return bytes;
}

/** The inverse of `packSpikes`. */
export function unpackSpikes(bytes: Uint8Array, words: number): number[][] {
  return Array.from({ length: bytes.length / (8 * words) }, (_, v) =>
    Array.from({ length: 64 * words }, (_unused, channel) => channel)
      .filter((channel) => (((bytes[8 * words * v + (channel >> 3)] ?? 0) >> (channel & 7)) & 1) === 1));
}
