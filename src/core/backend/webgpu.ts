import * as tf from '@tensorflow/tfjs-core';

import { BackendError } from '../errors.js';
import type { HalfReport } from './half-report.js';
import type { StartedBackend } from './started.js';
import { activate } from './started.js';
import type { Gpu, GpuAdapter } from './webgpu-adapter.js';
import { findAdapter } from './webgpu-adapter.js';
import { guardBindings } from './webgpu-kernels/binding-limit.js';
import { reuseBuffersAtOnce } from './webgpu-kernels/buffer-reuse.js';
import { createDispatcher } from './webgpu-kernels/dispatch.js';
import type { GpuBackend } from './webgpu-kernels/gpu.js';
import type { UnitOffer } from './webgpu-kernels/matmul-units.js';
import { UNIT_FEATURE } from './webgpu-kernels/matmul-units.js';
import { registerGpuKernels } from './webgpu-kernels/register.js';
import { prepareHalfProducts } from './webgpu-kernels/verify-products.js';

/** What our kernels use where the adapter has it; TensorFlow.js asks for none of these. */
const WANTED_FEATURES = ['shader-f16', 'subgroups', UNIT_FEATURE] as const;
const WANTED_LIMITS = ['maxStorageBuffersPerShaderStage'] as const;

let running: StartedBackend | null = null;
/** The adapter that TensorFlow.js took. */
let taken: GpuAdapter | null = null;
let halfReport: Promise<HalfReport> | null = null;
let startHalf: (() => Promise<HalfReport>) | null = null;

/**
 * Starts the WebGPU backend on Dawn. The device is destroyed when the process ends.
 * @throws BackendError when there is no adapter, or only a software one and that is not allowed.
 */
export async function startWebGpu({ allowSoftware }: { allowSoftware: boolean }): Promise<StartedBackend> {
  if (running === null) {
    const { gpu, device, software } = await findAdapter(allowSoftware);
    offerToTensorflow(gpu);
    await import('@tensorflow/tfjs-backend-webgpu'); // registers itself only when navigator.gpu is there
    await activate('webgpu');
    const backend = tf.backend() as unknown as GpuBackend;
    guardBindings(backend);
    reuseBuffersAtOnce(backend);
    const dispatcher = createDispatcher(backend);
    registerGpuKernels(dispatcher);
    startHalf = () => prepareHalfProducts(dispatcher, offerOf(backend));
    process.once('exit', destroyDevice);
    running = { device, capabilities: { spikingKernels: true, synchronousRead: false, software } };
    return running;
  }
  if (running.capabilities.software && !allowSoftware) throw new BackendError(`the only adapter is ${running.device}`);
  await activate('webgpu');
  return running;
}

/**
 * Verifies, the first time, the started backend's products with float16 inputs; then they are there for `withHalfProducts`.
 * @throws Error when the backend was not started.
 */
export function prepareWebGpuHalf(): Promise<HalfReport> {
  if (startHalf === null) throw new Error('the webgpu backend was not started');
  halfReport ??= startHalf();
  return halfReport;
}

function offerOf({ device: { features, limits } }: GpuBackend): UnitOffer {
  const { subgroupMinSize = 0, subgroupMaxSize = 0, subgroupMatrixConfigs = [] } = taken?.info ?? {};
  return { features, limits, subgroupSizes: [subgroupMinSize, subgroupMaxSize], configs: [...subgroupMatrixConfigs] };
}

function offerToTensorflow(gpu: Gpu): void {
  const scope = globalThis as { navigator?: object };
  if (scope.navigator === undefined) Object.defineProperty(scope, 'navigator', { value: {}, configurable: true, writable: true });
  const offered: Gpu = {
    requestAdapter: async (options) => {
      const adapter = await gpu.requestAdapter(options);
      if (adapter !== null) askForMore(adapter);
      taken = adapter;
      return adapter;
    },
  };
  Object.defineProperty(scope.navigator, 'gpu', { value: offered, configurable: true });
}

/** Lets the adapter give a device what our kernels want beside what TensorFlow.js asks for. */
function askForMore(adapter: GpuAdapter): void {
  const requestDevice = adapter.requestDevice.bind(adapter);
  const limits = Object.fromEntries(WANTED_LIMITS.map((name) => [name, adapter.limits[name] as number]));
  const features = WANTED_FEATURES.filter((name) => adapter.features.has(name));
  Object.defineProperty(adapter, 'requestDevice', {
    value: (asked: Parameters<GpuAdapter['requestDevice']>[0]) => requestDevice({
      ...asked, requiredFeatures: [...(asked.requiredFeatures ?? []), ...features], requiredLimits: { ...asked.requiredLimits, ...limits },
    }),
  });
}

/** Leaving it to the end of the process would tear Dawn down while its device is in use. */
function destroyDevice(): void {
  const backend = tf.engine().registry['webgpu'] as { readonly device?: { destroy(): void } } | undefined;
  backend?.device?.destroy();
}
