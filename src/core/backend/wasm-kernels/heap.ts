import type { DataType, KernelFunc, TensorInfo } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';

import { BackendError } from '../../errors.js';
import { wasmApi } from '../../wasm/api.js';
import type { KernelExports } from './instantiate.js';
import { instantiateKernels } from './instantiate.js';

/** The part of the WebAssembly backend of TensorFlow.js that the kernels stand on. */
export interface WasmBackend {
  readonly wasm: {
    readonly asm?: { readonly memory?: unknown };
    _malloc(bytes: number): number;
    _free(address: number): void;
  };
  readonly dataIdMap: { get(dataId: object): { readonly memoryOffset: number } };
  makeOutput(shape: readonly number[], dtype: DataType): TensorInfo;
  incRef(dataId: object): void;
  disposeData(dataId: object): boolean;
}

/** Tensors seen from the kernels: as addresses in the memory both modules share. */
export interface KernelHeap {
  readonly call: KernelExports;
  address(tensor: TensorInfo): number;
  /** A new tensor with undefined contents, owned by the caller of the kernel. */
  output(shape: readonly number[], dtype?: 'float32' | 'int32' | 'bool'): TensorInfo;
  /** One more owner of the same values. */
  share(tensor: TensorInfo): TensorInfo;
  /** Frees a tensor that a kernel made on the way. */
  release(tensor: TensorInfo): void;
  /** Lends `bytes` of memory for the duration of `use`. @throws BackendError when there is not enough. */
  withScratch(bytes: number, use: (address: number) => void): void;
}

/**
 * Instantiates the compiled kernels inside the memory of the running WebAssembly backend.
 * @throws BackendError when that memory cannot be reached or the binary is not the one these sources expect.
 */
export async function openKernelHeap(backend: WasmBackend, binary: Uint8Array): Promise<KernelHeap> {
  const memory = backend.wasm.asm?.memory;
  if (!(memory instanceof wasmApi.Memory)) {
    throw new BackendError('the wasm backend does not expose its memory, which the spiking kernels work in', {
      suggestions: ['npm install @tensorflow/tfjs-backend-wasm@4.22.0', '--backend cpu'],
    });
  }
  const call = await instantiateKernels(binary, memory);
  return {
    call,
    address: (tensor) => backend.dataIdMap.get(tensor.dataId).memoryOffset,
    output: (shape, dtype = 'float32') => backend.makeOutput(shape, dtype),
    share: ({ dataId, shape, dtype }) => {
      backend.incRef(dataId);
      return { dataId, shape, dtype };
    },
    release: (tensor) => { backend.disposeData(tensor.dataId); },
    withScratch: (bytes, use) => {
      const address = backend.wasm._malloc(bytes) >>> 0;
      if (address === 0 && bytes > 0) {
        throw new BackendError(`the wasm backend has no ${bytes} bytes left for a kernel`, { suggestions: ['--set train.batch=1'] });
      }
      try {
        use(address);
      } finally {
        backend.wasm._free(address);
      }
    },
  };
}

const standardKernels = new Map<string, KernelFunc>();

/**
 * The backend's own kernel of that name, for the cases ours does not cover; remembered, since ours takes its place.
 * @throws Error when there is none.
 */
export function standardKernel(name: string): KernelFunc {
  const known = standardKernels.get(name) ?? tf.getKernel(name, 'wasm')?.kernelFunc;
  if (known === undefined) throw new Error(`the wasm backend has no ${name}`);
  standardKernels.set(name, known);
  return known;
}
