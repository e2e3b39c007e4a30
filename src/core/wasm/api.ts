/** A linear memory; `buffer` is another object after `grow` unless the memory is shared. */
export interface WasmMemory {
  readonly buffer: ArrayBufferLike;
  grow(pages: number): number;
}

/** A compiled module; it can be sent to a worker. */
export type WasmModule = object & { readonly wasmModule?: true };

interface WasmApi {
  readonly Memory: new (limits: { initial: number; maximum?: number; shared?: boolean }) => WasmMemory;
  validate(binary: Uint8Array): boolean;
  compile(binary: Uint8Array): Promise<WasmModule>;
  instantiate(module: WasmModule, imports: { env: { memory: object } }): Promise<{ readonly exports: Readonly<Record<string, unknown>> }>;
}

/** The part of the WebAssembly API used here; neither ES2023 nor the types of Node.js 20 declare it. */
export const wasmApi = (globalThis as unknown as { readonly WebAssembly: WasmApi }).WebAssembly;

/** Bytes of a page of linear memory. */
export const WASM_PAGE_BYTES = 65_536;
