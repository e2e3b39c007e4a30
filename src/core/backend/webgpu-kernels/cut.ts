import type { TensorInfo } from '@tensorflow/tfjs-core';

import { sizeOf } from '../kernel-tensors.js';
import { bytesOf, tooLarge } from './binding-limit.js';
import type { GpuCall, GpuDispatcher, GpuKernel, TensorRange } from './dispatch.js';
import type { GpuBackend } from './gpu.js';

/**
 * Work on tensors larger than one binding may be. A kernel of ours whose work is a row of units (elements, rows, blocks of rows, sequences) runs several
 * times, each time on the units whose parts of every tensor can be bound. Its code does not know: every unit adds up what it always does in
 * the same order, so the results are the same bits.
 */

/** A stretch of units, or of a tensor's elements along an axis. */
export type Span = readonly [first: number, end: number];

/** How the units lie in a tensor: `outer` times those of all units one after the other, `each` elements per unit. */
export type Layout = readonly [outer: number, each: number];

/** One run of a kernel, or several. */
export interface CutCall {
  readonly tensors: readonly TensorInfo[];
  readonly units: number;
  /** In the order of the tensors; null where every unit sees all of a tensor. The last unit may be shorter in a tensor whose `outer` is 1. */
  readonly layouts: ReadonlyArray<Layout | null>;
  /** Uniforms and workgroups of `count` units from `first` on, which the kernel sees as units 0 and on. */
  plan(count: number, first: number): Pick<GpuCall, 'uniforms' | 'workgroups'>;
}

/** Runs a kernel once where all tensors can be bound, else part after part. @throws BackendError when one unit's part of a tensor is too large. */
export function runCut(gpu: GpuDispatcher, kernel: GpuKernel, call: CutCall): void {
  const cuts = call.tensors.flatMap((tensor, i) => { const layout = call.layouts[i]; return layout == null ? [] : [{ tensor, layout }]; });
  runSpans(gpu, kernel, { ...call, spans: spansOf(gpu, { name: kernel.name, units: call.units, cuts }) });
}

/** Runs a kernel on each of some stretches of units; parts of all but whole tensors can be bound. */
export function runSpans(gpu: GpuDispatcher, kernel: GpuKernel, call: CutCall & { readonly spans: readonly Span[] }): void {
  for (const span of call.spans) {
    const isWhole = span[1] - span[0] === call.units;
    const parts = call.tensors.map((tensor, i): Part => {
      const layout = call.layouts[i];
      return isWhole || layout == null ? { bound: tensor, finish: nothing } : bindPart(gpu, { tensor, layout }, { span, access: kernel.tensors[i]?.[1] ?? 'read' });
    });
    gpu.run(kernel, { tensors: parts.map(({ bound }) => bound), ...call.plan(span[1] - span[0], span[0]) });
    parts.forEach(({ finish }) => { finish(); });
  }
}

/** A tensor and how units lie in it. */
export interface Cut { readonly tensor: TensorInfo; readonly layout: Layout }

/** The stretches of units whose parts can be bound: as long as can be, and of lengths after which a binding may begin where they are long enough. */
export function spansOf(gpu: GpuDispatcher, { name, units, cuts }: { readonly name: string; readonly units: number; readonly cuts: readonly Cut[] }): Span[] {
  const large = cuts.filter(({ tensor }) => bytesOf(tensor) > gpu.bindingBytes);
  if (large.length === 0) return [[0, units]];
  const most = Math.min(...cuts.map(({ layout: [outer, each] }) => Math.floor(gpu.bindingBytes / (4 * outer * each))));
  if (most === 0) throw tooLarge(large[0]?.tensor as TensorInfo, gpu.bindingBytes, name);
  const step = Math.max(...cuts.map(({ layout: [, each] }) => unitsToAlignment(gpu.backend, each)));
  return spans(units, most < step ? most : most - (most % step));
}

/** 0 … length in stretches of at most `most`. */
export function spans(length: number, most: number): Span[] {
  if (length <= most) return [[0, length]];
  return Array.from({ length: Math.ceil(length / most) }, (_, i) => [i * most, Math.min(length, (i + 1) * most)]);
}

/** Units after which a binding may begin again: of elements of 4 bytes, and the alignment is a power of two. */
function unitsToAlignment({ device }: GpuBackend, each: number): number {
  let step = device.limits.minStorageBufferOffsetAlignment / 4;
  for (let factor = each; factor % 2 === 0 && step > 1; factor /= 2) step /= 2;
  return step;
}

interface Part { readonly bound: TensorInfo | TensorRange; readonly finish: () => void }
const nothing = (): void => undefined;

/** Binds some units of a tensor: in place where they lie together and the device can begin a binding there, else as a copy, which is copied back where it is written. */
function bindPart(gpu: GpuDispatcher, { tensor, layout }: Cut, { span, access }: { readonly span: Span; readonly access: GpuKernel['tensors'][number][1] }): Part {
  const [outer, each] = layout;
  const offsetBytes = 4 * each * span[0];
  if (outer === 1 && offsetBytes % gpu.backend.device.limits.minStorageBufferOffsetAlignment === 0) {
    return { bound: { tensor, offsetBytes, sizeBytes: Math.min(bytesOf(tensor), 4 * each * span[1]) - offsetBytes }, finish: nothing };
  }
  const copy = access === 'write' ? placeOfPart(gpu, { tensor, layout }, span) : copyOfPart(gpu, { tensor, layout }, span);
  return {
    bound: copy,
    finish: () => {
      if (access !== 'read') writePart(gpu, copy, { tensor, layout, first: span[0] });
      gpu.release(copy);
    },
  };
}

/** Some units of a tensor as a tensor of their own (outer, units, each). */
export function copyOfPart(gpu: GpuDispatcher, cut: Cut, span: Span): TensorInfo {
  const { tensor, layout: [outer, each] } = cut;
  const copy = placeOfPart(gpu, cut, span);
  const [all, length] = [sizeOf(tensor.shape) / outer, sizeOf(copy.shape) / outer];
  for (let i = 0; i < outer; i++) copyElements(gpu.backend, { from: tensor, fromAt: i * all + each * span[0], to: copy, toAt: i * length, length });
  return copy;
}

/** A place for a part, uninitialised. */
function placeOfPart(gpu: GpuDispatcher, { tensor, layout: [outer, each] }: Cut, [first, end]: Span): TensorInfo {
  return makeLike(gpu.backend, tensor, [outer, Math.min(sizeOf(tensor.shape) / outer, each * end) - each * first]);
}

/** Writes units, from `first` on, into a tensor; the reverse of `copyOfPart`. */
export function writePart(gpu: GpuDispatcher, part: TensorInfo, { tensor, layout: [outer, each], first }: Cut & { readonly first: number }): void {
  const [all, length] = [sizeOf(tensor.shape) / outer, sizeOf(part.shape) / outer];
  for (let i = 0; i < outer; i++) copyElements(gpu.backend, { from: part, fromAt: i * length, to: tensor, toAt: i * all + each * first, length });
}

/** An uninitialised tensor of another shape whose elements mean what the given one's do: floats may be whole numbers in memory, where a cast only renamed them. */
export function makeLike(backend: GpuBackend, { dataId, dtype }: TensorInfo, shape: readonly number[]): TensorInfo {
  return { ...backend.makeTensorInfo(shape, backend.tensorMap.get(dataId).dtype), dtype };
}

/** Copies within the device; bindings have limits, copies have none. */
function copyElements(backend: GpuBackend, { from, fromAt, to, toAt, length }: { readonly from: TensorInfo; readonly fromAt: number; readonly to: TensorInfo; readonly toAt: number; readonly length: number }): void {
  for (const { dataId } of [from, to]) {
    backend.uploadToGPU(dataId);
    backend.commandQueueOwnedIds.add(dataId);
  }
  backend.endComputePassEncoder();
  backend.ensureCommandEncoderReady();
  backend.commandEncoder?.copyBufferToBuffer(backend.tensorMap.get(from.dataId).resource, 4 * fromAt, backend.tensorMap.get(to.dataId).resource, 4 * toAt, 4 * length);
}
