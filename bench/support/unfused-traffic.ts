import type { KernelConfig } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';

import type { GpuBackend } from '../../src/core/backend/webgpu-kernels/gpu.js';

/** What the device did. */
export interface DispatchTraffic {
  readonly dispatches: number;
  /** Bytes of every tensor bound by every dispatch, what kernels of ours keep on the way included; each once, however often it is read. */ readonly bytesMoved: number;
}

/** An operation with and without kernels of its own. */
export interface Fusion {
  /** Names of the kernels of ours. */ readonly kernels: readonly string[];
  /** Registers the composed form of those of them that a backend lacks. */ readonly registerComposed: (backend: string) => void;
}

/** GPUBufferUsage.STORAGE, fixed by the standard: uniforms are no traffic. */
const STORAGE = 0x80;

type BindGroups = { createBindGroup(options: { readonly entries: ReadonlyArray<{ readonly resource: { readonly buffer?: { readonly size: number; readonly usage: number }; readonly size?: number } }> }): object };

/** Counts what `work` does on the WebGPU backend. Every dispatch, TensorFlow.js's and ours, binds its tensors anew, and that is where they are counted. */
export async function countDispatches(work: () => Promise<void>): Promise<DispatchTraffic> {
  const device = (tf.backend() as unknown as GpuBackend).device as unknown as BindGroups;
  const original = device.createBindGroup;
  let [dispatches, bytesMoved] = [0, 0];
  device.createBindGroup = (options) => {
    dispatches++;
    for (const { resource: { buffer, size } } of options.entries) if (buffer !== undefined && (buffer.usage & STORAGE) !== 0) bytesMoved += size ?? buffer.size;
    return original.call(device, options);
  };
  try {
    await work();
  } finally {
    device.createBindGroup = original;
  }
  return { dispatches, bytesMoved };
}

/** Runs `work` with the composed forms of operations in place of their kernels. */
export async function withComposed<Result>(fusions: readonly Fusion[], work: () => Promise<Result>): Promise<Result> {
  const backend = tf.getBackend();
  const own = fusions.flatMap(({ kernels }) => kernels).map((name) => tf.getKernel(name, backend)).filter((kernel) => kernel !== undefined);
  unregister(own);
  const before = new Set(tf.getKernelsForBackend(backend));
  fusions.forEach(({ registerComposed }) => { registerComposed(backend); });
  try {
    return await work();
  } finally {
    unregister(tf.getKernelsForBackend(backend).filter((kernel) => !before.has(kernel)));
    own.forEach((kernel) => { tf.registerKernel(kernel); });
  }
}

/** The traffic of the same work both ways. */
export async function compareTraffic(fusions: readonly Fusion[], work: () => Promise<void>): Promise<{ readonly own: DispatchTraffic; readonly composed: DispatchTraffic }> {
  return { own: await countDispatches(work), composed: await withComposed(fusions, () => countDispatches(work)) };
}

function unregister(kernels: readonly KernelConfig[]): void {
  for (const { kernelName, backendName } of kernels) tf.unregisterKernel(kernelName, backendName);
}
