import type { DataType, TensorInfo } from '@tensorflow/tfjs-core';

/** The parts of the WebGPU interface that our kernels use. */
export interface GpuDevice {
  readonly features: ReadonlySet<string>;
  readonly limits: Readonly<Record<GpuLimit, number>>;
  readonly queue: { writeBuffer(buffer: GpuBuffer, offset: number, values: ArrayBuffer): void };
  createShaderModule(options: { label: string; code: string }): object;
  createComputePipeline(options: { label: string; layout: 'auto'; compute: { module: object; entryPoint: string } }): GpuPipeline;
  createBindGroup(options: { label: string; layout: object; entries: readonly GpuBinding[] }): object;
  destroy(): void;
  pushErrorScope(filter: 'validation' | 'internal'): void;
  popErrorScope(): Promise<GpuError | null>;
  addEventListener(type: 'uncapturederror', listen: (event: { readonly error: GpuError; preventDefault(): void }) => void): void;
  readonly lost: Promise<{ readonly reason: string; readonly message: string }>;
}
export interface GpuError {
  readonly message: string;
}
export type GpuLimit =
  | 'maxStorageBufferBindingSize' | 'minStorageBufferOffsetAlignment' | 'maxBufferSize' | 'maxComputeWorkgroupStorageSize' | 'maxComputeInvocationsPerWorkgroup';
export interface GpuBuffer {
  readonly size: number;
  destroy(): void;
}
export interface GpuPipeline {
  getBindGroupLayout(index: number): object;
}
export interface GpuResource {
  readonly buffer: GpuBuffer;
  /** In bytes, like the size; from the start to the end where absent. */ readonly offset?: number;
  readonly size?: number;
}
interface GpuBinding {
  readonly binding: number;
  readonly resource: GpuResource;
}
interface GpuPass {
  setPipeline(pipeline: GpuPipeline): void;
  setBindGroup(index: number, group: object): void;
  dispatchWorkgroups(x: number, y: number, z: number): void;
  end(): void;
}

/** The parts of TensorFlow.js's pool of buffers (4.22): a buffer that is released is kept for the next tensor of exactly its size. */
export interface GpuBufferPool {
  readonly numBytesUsed: number;
  /** Of all buffers, free ones included. */ numBytesAllocated: number;
  numFreeBuffers: number;
  readonly freeBuffers: ReadonlyMap<string, GpuBuffer[]>;
  acquireBuffer(bytes: number, usage: number, ...more: readonly boolean[]): GpuBuffer;
}

/**
 * The parts of TensorFlow.js's WebGPU backend (4.22) that a kernel of ours needs to run between its own: most are private there, and its
 * `runWebGPUProgram` allows one output only.
 */
export interface GpuBackend {
  readonly device: GpuDevice;
  readonly tensorMap: { get(id: object): { readonly resource: GpuBuffer; /** Of the buffer: a cast from whole numbers only renames the tensor. */ readonly dtype: DataType; /** Copy in ordinary memory. */ values: ArrayLike<number> | null } };
  readonly bufferManager: GpuBufferPool;
  read(id: object): Promise<ArrayLike<number>>;
  memory(): { readonly numBytesInGPU: number };
  /** Tensors that recorded commands still use: their memory is kept when they are disposed. */ readonly commandQueueOwnedIds: WeakSet<object>;
  /** Released once the recorded commands are submitted. */ readonly uniformPendingDisposal: GpuBuffer[];
  commandEncoder: { beginComputePass(): GpuPass; copyBufferToBuffer(from: GpuBuffer, fromOffset: number, to: GpuBuffer, toOffset: number, bytes: number): void } | null;
  computePassEncoder: GpuPass | null;
  dispatchCountInPass: number;
  ensureCommandEncoderReady(): void;
  endComputePassEncoder(): void;
  submitQueue(): void;
  uploadToGPU(id: object): void;
  incRef(id: object): void;
  disposeData(id: object, force?: boolean): boolean;
  /** What a program of theirs binds for a tensor. */ tensorToBinding(tensor: TensorInfo | null): object | null;
  makeTensorInfo(shape: readonly number[], dtype: DataType, values?: Float32Array | Int32Array): TensorInfo;
}
