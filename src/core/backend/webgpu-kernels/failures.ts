import { BackendError } from '../../errors.js';
import type { GpuBackend, GpuBuffer, GpuDevice, GpuError } from './gpu.js';

/**
 * WebGPU reports errors on the side and goes on with zeros. Here they are remembered, and every read after the first one fails: what was
 * computed since cannot be trusted.
 */
export interface DeviceWatch {
  /** Makes a pipeline; whether it is valid shows later, under this name. */
  compile<Pipeline>(kernel: string, make: () => Pipeline): Pipeline;
}

const LESS_MEMORY = ['--set train.batch=1 (and train.accumulate as many times larger)', '--set train.context=256'];
const OTHER_BACKEND = ['--backend wasm'];

const watches = new WeakMap<GpuDevice, DeviceWatch>();

/** Remembers what goes wrong on the backend's device from now on; a second call for the same device changes nothing. */
export function watchDevice(backend: GpuBackend): DeviceWatch {
  const known = watches.get(backend.device);
  if (known !== undefined) return known;
  const watch = startWatch(backend);
  watches.set(backend.device, watch);
  return watch;
}

function startWatch(backend: GpuBackend): DeviceWatch {
  const { device } = backend;
  let compiling: BackendError | null = null;
  let other: BackendError | null = null;
  const remember = (error: BackendError): void => { other ??= error; };
  /** What a kernel that did not compile leads to is reported before it. */
  const failure = (): BackendError | null => compiling ?? other;
  const open = new Set<Promise<void>>();
  device.addEventListener('uncapturederror', (event) => {
    event.preventDefault(); // else it is printed as well
    remember(describe(event.error, backend));
  });
  void device.lost.then(({ reason, message }) => {
    if (reason !== 'destroyed') remember(new BackendError(`the WebGPU device was lost: ${message}`, { suggestions: [...LESS_MEMORY, ...OTHER_BACKEND] }));
  });
  refuseLargeBuffers(backend);
  const read = backend.read.bind(backend);
  backend.read = async (id) => {
    const [outcome] = await Promise.allSettled([read(id)]);
    await Promise.all(open);
    const error = failure();
    if (error !== null) throw error;
    if (outcome.status === 'fulfilled') return outcome.value;
    throw new BackendError(`the WebGPU device does not answer: ${String(outcome.reason)}`, { cause: outcome.reason, suggestions: OTHER_BACKEND });
  };
  return {
    compile: (kernel, make) => {
      device.pushErrorScope('validation');
      try {
        return make();
      } finally {
        const checked = device.popErrorScope().then((error) => { if (error !== null) compiling ??= doesNotCompile(kernel, error.message); });
        open.add(checked);
        void checked.then(() => open.delete(checked));
      }
    },
  };
}

function doesNotCompile(kernel: string, message: string): BackendError {
  return new BackendError(`the WebGPU kernel ${kernel} does not compile on this device: ${message.trim()}`, { suggestions: OTHER_BACKEND });
}

function describe(error: GpuError, backend: GpuBackend): BackendError {
  if (error.constructor.name === 'GPUOutOfMemoryError') return outOfMemory(backend, error.message);
  const label = /""([^"]+)""/.exec(error.message)?.[1]; // Dawn quotes the labels of what an error is about
  const where = label === undefined ? 'a WebGPU command' : `the WebGPU kernel ${label}`;
  return new BackendError(`${where} failed: ${error.message.trim()}`, { suggestions: OTHER_BACKEND });
}

function outOfMemory(backend: GpuBackend, message: string, cause?: unknown): BackendError {
  const megabytes = Math.round(backend.memory().numBytesInGPU / 1e6);
  return new BackendError(`the device is out of memory with ${megabytes} MB of tensors on it: ${message.trim()}`, { cause, suggestions: LESS_MEMORY });
}

/** A buffer over the limit is an error at once, with its size: the device would only report it on the side. */
function refuseLargeBuffers(backend: GpuBackend): void {
  const { device: { limits }, bufferManager } = backend;
  const acquire = bufferManager.acquireBuffer.bind(bufferManager);
  bufferManager.acquireBuffer = (bytes, usage, ...more): GpuBuffer => {
    if (bytes > limits.maxBufferSize) {
      throw new BackendError(`a tensor of ${bytes} bytes was asked for; this device allows ${limits.maxBufferSize} in one buffer`, { suggestions: LESS_MEMORY });
    }
    try {
      return acquire(bytes, usage, ...more);
    } catch (cause) {
      if (cause instanceof RangeError) throw outOfMemory(backend, cause.message, cause);
      throw cause;
    }
  };
}
