import type { TensorInfo } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';

import { ShapeError } from '../../errors.js';
import { sizeOf } from '../kernel-tensors.js';
import { requireBindable } from './binding-limit.js';
import type { DeviceWatch } from './failures.js';
import { watchDevice } from './failures.js';
import type { GpuBackend, GpuDevice, GpuPipeline, GpuResource } from './gpu.js';

/** A number of a kernel that changes from call to call without a new compilation. */
export type UniformType = 'u32' | 'i32' | 'f32';

/** A WGSL kernel: what it reads and writes, and its code. */
export interface GpuKernel {
  /** For messages and profiles. */ readonly name: string;
  /** Tensors in order, at binding 0 and on: name in the code, whether it is written (`write`: every element, without a look at what was there), element type. The code must use each of them. */
  readonly tensors: ReadonlyArray<readonly [name: string, access: 'read' | 'write' | 'read_write', type: string]>;
  /** Reached as `uniforms.name`. */ readonly uniforms: ReadonlyArray<readonly [name: string, type: UniformType]>;
  /** WGSL with an entry point `main`; declarations of tensors and uniforms are put before it. Constants of a shape belong into the text. */ readonly code: string;
  /** WGSL extensions, e.g. `f16`. */ readonly enable?: readonly string[];
}

/** A stretch of a tensor that a kernel sees as its whole array. */
export interface TensorRange {
  readonly tensor: TensorInfo;
  /** A multiple of the device's minStorageBufferOffsetAlignment. */ readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** One run of a kernel. */
export interface GpuCall {
  /** In the kernel's order; those that are written were made by `makeOutput`. Floats that are whole numbers in memory (a cast only renames) are converted. */
  readonly tensors: ReadonlyArray<TensorInfo | TensorRange>;
  /** In the kernel's order. */ readonly uniforms: readonly number[];
  readonly workgroups: readonly [x: number, y: number, z: number];
}

/** Runs WGSL kernels of ours on the WebGPU backend, in order with TensorFlow.js's own. */
export interface GpuDispatcher {
  readonly backend: GpuBackend;
  /** An uninitialised tensor for a kernel to write. */ makeOutput(shape: readonly number[], dtype?: 'float32' | 'int32'): TensorInfo;
  /** An input as an output, after a kernel wrote over it: one more owner, and values read before are forgotten. */ overwritten(tensor: TensorInfo): TensorInfo;
  /** Frees a tensor that a kernel made on the way; runs already recorded still find it. */ release(tensor: TensorInfo): void;
  /** The most bytes of a tensor that one binding may show a kernel. */ readonly bindingBytes: number;
  /** Records a run. Code that does not compile makes the next read fail. @throws ShapeError when the numbers of tensors or uniforms differ;
   *  BackendError when a binding is larger than the device allows. */
  run(kernel: GpuKernel, call: GpuCall): void;
}

/** GPUBufferUsage.COPY_DST | GPUBufferUsage.UNIFORM: fixed by the standard. */
const UNIFORM_USAGE = 0x8 | 0x40;
/** WebGPU's default limit of workgroups per dimension. */
export const MOST_GROUPS = 65_535;

/** Pipelines by their code. */
const compiled = new WeakMap<GpuDevice, Map<string, GpuPipeline>>();

/** A dispatcher for the active WebGPU backend. @param bindingBytes as in `GpuDispatcher`; smaller than the device's own only in tests. */
export function createDispatcher(backend: GpuBackend, bindingBytes = backend.device.limits.maxStorageBufferBindingSize): GpuDispatcher {
  const pipelines = compiled.get(backend.device) ?? new Map<string, GpuPipeline>();
  compiled.set(backend.device, pipelines);
  const watch = watchDevice(backend);
  const pipelineOf = (kernel: GpuKernel): GpuPipeline => {
    const code = sourceOf(kernel);
    const known = pipelines.get(code);
    if (known !== undefined) return known;
    const pipeline = compile(backend, watch, { name: kernel.name, code });
    pipelines.set(code, pipeline);
    return pipeline;
  };
  const toFloats = (x: TensorInfo | TensorRange): TensorInfo => {
    if ('tensor' in x) throw new ShapeError('whole numbers that were cast to floats cannot be bound in parts');
    const y = dispatcher.makeOutput(x.shape);
    const count = sizeOf(x.shape);
    dispatcher.run(TO_FLOATS, { tensors: [x, y], uniforms: [count], workgroups: spreadGroups(Math.ceil(count / 64)) });
    return y;
  };
  const dispatcher: GpuDispatcher = {
    backend,
    bindingBytes,
    makeOutput: (shape, dtype = 'float32') => backend.makeTensorInfo(shape, dtype),
    overwritten: (tensor) => shareOverwritten(backend, tensor),
    release: ({ dataId }) => { backend.disposeData(dataId); },
    run: (kernel, call) => {
      if (call.tensors.length !== kernel.tensors.length || call.uniforms.length !== kernel.uniforms.length) {
        throw new ShapeError(`${kernel.name}: ${call.tensors.length} tensors and ${call.uniforms.length} uniforms, expected ${kernel.tensors.length} and ${kernel.uniforms.length}`);
      }
      for (const tensor of call.tensors) requireBindable(tensor, bindingBytes, kernel.name);
      const converted = kernel.tensors.flatMap(([, access, type], i) => (access === 'read' && /f(32)?$/.test(type) && holdsIntegers(backend, call.tensors[i]) ? [i] : []));
      const tensors = call.tensors.map((tensor, i) => (converted.includes(i) ? toFloats(tensor) : tensor));
      record(backend, pipelineOf(kernel), { kernel, call: { ...call, tensors } });
      for (const i of converted) dispatcher.release(tensors[i] as TensorInfo);
    },
  };
  return dispatcher;
}

function shareOverwritten(backend: GpuBackend, { dataId, shape, dtype }: TensorInfo): TensorInfo {
  backend.incRef(dataId);
  backend.tensorMap.get(dataId).values = null;
  return { dataId, shape, dtype };
}

/** A tensor of floats whose buffer was cast from whole numbers or truth values still holds these. */
function holdsIntegers(backend: GpuBackend, bound: TensorInfo | TensorRange | undefined): boolean {
  return bound !== undefined && backend.tensorMap.get(dataIdOf(bound)).dtype !== 'float32';
}

function dataIdOf(bound: TensorInfo | TensorRange): object {
  return 'tensor' in bound ? bound.tensor.dataId : bound.dataId;
}

const TO_FLOATS: GpuKernel = {
  name: 'BispikToFloats', tensors: [['x', 'read', 'i32'], ['y', 'read_write', 'f32']], uniforms: [['count', 'u32']],
  code: `@compute @workgroup_size(64) fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (group.x + group.y * groups.x) * 64u + local;
  if (i < uniforms.count) { y[i] = f32(x[i]); }
}`,
};

/** Workgroups for `count` units of work in one dimension, spread over two where one does not hold them: the unit is `group.x + group.y * groups.x`, and may be past the end. */
export function spreadGroups(count: number): readonly [x: number, y: number, z: number] {
  const rows = Math.max(1, Math.ceil(count / MOST_GROUPS));
  return [Math.ceil(count / rows), rows, 1];
}

/** The whole WGSL text of a kernel. */
export function sourceOf({ enable = [], tensors, uniforms, code }: GpuKernel): string {
  const extensions = enable.map((name) => `enable ${name};\n`).join('');
  const bindings = tensors.map(([name, access, type], i) => `@group(0) @binding(${i}) var<storage, ${access === 'write' ? 'read_write' : access}> ${name}: array<${type}>;\n`).join('');
  if (uniforms.length === 0) return `${extensions}${bindings}${code}`;
  const fields = uniforms.map(([name, type]) => `${name}: ${type}`).join(', ');
  return `${extensions}struct Uniforms { ${fields} }\n${bindings}@group(0) @binding(${tensors.length}) var<uniform> uniforms: Uniforms;\n${code}`;
}

function compile({ device }: GpuBackend, watch: DeviceWatch, { name, code }: { readonly name: string; readonly code: string }): GpuPipeline {
  return watch.compile(name, () => device.createComputePipeline({
    label: name, layout: 'auto', compute: { module: device.createShaderModule({ label: name, code }), entryPoint: 'main' },
  }));
}

function record(backend: GpuBackend, pipeline: GpuPipeline, { kernel, call }: { readonly kernel: GpuKernel; readonly call: GpuCall }): void {
  const resources: GpuResource[] = call.tensors.map((tensor) => bind(backend, tensor));
  if (kernel.uniforms.length > 0) resources.push({ buffer: uniformBuffer(backend, kernel, call.uniforms) });
  const entries = resources.map((resource, binding) => ({ binding, resource }));
  const group = backend.device.createBindGroup({ label: kernel.name, layout: pipeline.getBindGroupLayout(0), entries });
  backend.ensureCommandEncoderReady();
  const pass = (backend.computePassEncoder ??= backend.commandEncoder!.beginComputePass());
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  pass.dispatchWorkgroups(...call.workgroups);
  backend.dispatchCountInPass++;
  if (backend.dispatchCountInPass < tf.env().getNumber('WEBGPU_DEFERRED_SUBMIT_BATCH_SIZE')) return;
  backend.endComputePassEncoder();
  backend.submitQueue();
}

function bind(backend: GpuBackend, bound: TensorInfo | TensorRange): GpuResource {
  const dataId = dataIdOf(bound);
  backend.uploadToGPU(dataId);
  backend.commandQueueOwnedIds.add(dataId);
  const buffer = backend.tensorMap.get(dataId).resource;
  return 'tensor' in bound ? { buffer, offset: bound.offsetBytes, size: bound.sizeBytes } : { buffer };
}

function uniformBuffer(backend: GpuBackend, { uniforms }: GpuKernel, values: readonly number[]): ReturnType<GpuBackend['bufferManager']['acquireBuffer']> {
  const bytes = new ArrayBuffer(16 * Math.ceil(uniforms.length / 4));
  const view = new DataView(bytes);
  uniforms.forEach(([, type], i) => {
    const value = values[i] as number;
    if (type === 'f32') view.setFloat32(4 * i, value, true);
    else if (type === 'i32') view.setInt32(4 * i, value, true);
    else view.setUint32(4 * i, value, true);
  });
  const buffer = backend.bufferManager.acquireBuffer(bytes.byteLength, UNIFORM_USAGE);
  backend.device.queue.writeBuffer(buffer, 0, bytes);
  backend.uniformPendingDisposal.push(buffer);
  return buffer;
}
