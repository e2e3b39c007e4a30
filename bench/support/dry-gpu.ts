import * as tf from '@tensorflow/tfjs-core';

import '../../src/core/backend/gradients.js';
import { guardBindings } from '../../src/core/backend/webgpu-kernels/binding-limit.js';
import { reuseBuffersAtOnce } from '../../src/core/backend/webgpu-kernels/buffer-reuse.js';
import { createDispatcher } from '../../src/core/backend/webgpu-kernels/dispatch.js';
import type { GpuBackend } from '../../src/core/backend/webgpu-kernels/gpu.js';
import { registerGpuKernels } from '../../src/core/backend/webgpu-kernels/register.js';
import { registerOperations } from '../../src/core/ops/register.js';

/** What a data-centre GPU reports through Dawn on Vulkan: no binding over 2 GiB, shared memory of 48 KiB. */
const LIMITS = {
  maxStorageBufferBindingSize: 2 ** 31 - 4, maxBufferSize: 2 ** 40, minStorageBufferOffsetAlignment: 256, maxStorageBuffersPerShaderStage: 16,
  maxComputeWorkgroupStorageSize: 49_152, maxComputeWorkgroupsPerDimension: 65_535, maxComputeWorkgroupSizeX: 1024, maxComputeInvocationsPerWorkgroup: 1024,
};

/** The limits of a device that plans of kernels depend on. */
export function planningLimits(limits: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.keys(LIMITS).map((name) => [name, limits[name] as number]));
}

/** A buffer with a size and no memory; what is read from it is zeros. */
class DryBuffer {
  readonly size: number;
  readonly usage: number;
  readonly mapState: string;
  constructor({ size, usage, mappedAtCreation = false }: { readonly size: number; readonly usage: number; readonly mappedAtCreation?: boolean }) {
    [this.size, this.usage, this.mapState] = [size, usage, mappedAtCreation ? 'mapped' : 'unmapped'];
  }
  getMappedRange(): ArrayBuffer { return new ArrayBuffer(this.size); }
  mapAsync(): Promise<void> { return Promise.resolve(); }
  unmap(): void { /* nothing is mapped */ }
  destroy(): void { /* nothing was allocated */ }
}

const nothing = (): void => undefined;
const pass = { setPipeline: nothing, setBindGroup: nothing, dispatchWorkgroups: nothing, end: nothing };
const pipeline = { getBindGroupLayout: () => ({}) };

function createDevice(limits: Readonly<Record<string, number>>): object {
  return {
    features: new Set<string>(), limits,
    lost: new Promise(nothing), addEventListener: nothing, destroy: nothing, pushErrorScope: nothing, popErrorScope: () => Promise.resolve(null),
    queue: { writeBuffer: nothing, submit: nothing, onSubmittedWorkDone: () => Promise.resolve() },
    createBuffer: (options: ConstructorParameters<typeof DryBuffer>[0]) => new DryBuffer(options),
    createShaderModule: () => ({}), createComputePipeline: () => pipeline, createComputePipelineAsync: () => Promise.resolve(pipeline), createBindGroup: () => ({}),
    createCommandEncoder: () => ({ beginComputePass: () => pass, copyBufferToBuffer: nothing, clearBuffer: nothing, finish: () => ({}) }),
  };
}

/**
 * Starts TensorFlow.js's WebGPU backend with our kernels on a device that does nothing. Every kernel plans its launches and asks for its
 * buffers as it would on a real one, so that launches, bytes, operations and memory of work of any size are counted without computing
 * it; all values are zeros. For a process of its own: there is one WebGPU backend in each.
 * @param limits in place of those of a large GPU.
 */
export async function startDryGpu(limits: Readonly<Record<string, number>> = {}): Promise<void> {
  const all = { ...LIMITS, ...limits };
  const adapter = { info: { vendor: 'dry', architecture: '', description: '' }, features: new Set<string>(), limits: all, requestDevice: () => Promise.resolve(createDevice(all)) };
  const scope = {
    GPUBuffer: DryBuffer, GPUTexture: class {}, GPUMapMode: { READ: 1, WRITE: 2 },
    GPUBufferUsage: { MAP_READ: 0x1, MAP_WRITE: 0x2, COPY_SRC: 0x4, COPY_DST: 0x8, UNIFORM: 0x40, STORAGE: 0x80, QUERY_RESOLVE: 0x200 },
  };
  for (const [name, value] of Object.entries(scope)) Object.defineProperty(globalThis, name, { value, configurable: true });
  const { navigator = {} } = globalThis as { navigator?: object };
  Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true });
  Object.defineProperty(navigator, 'gpu', { value: { requestAdapter: () => Promise.resolve(adapter) }, configurable: true });
  tf.env().set('PROD', true);
  await import('@tensorflow/tfjs-backend-webgpu');
  if (!(await tf.setBackend('webgpu'))) throw new Error('the WebGPU backend does not start on a dry device');
  const backend = tf.backend() as unknown as GpuBackend;
  guardBindings(backend);
  reuseBuffersAtOnce(backend);
  registerGpuKernels(createDispatcher(backend));
  registerOperations();
}
