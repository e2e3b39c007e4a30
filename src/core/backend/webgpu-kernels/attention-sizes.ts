import type { NamedAttrMap, TensorInfo } from '@tensorflow/tfjs-core';

import { BackendError, ShapeError } from '../../errors.js';
import { expectShape, extents } from '../kernel-tensors.js';
import type { CutCall, Layout } from './cut.js';
import type { GpuCall, UniformType } from './dispatch.js';
import type { GpuNeuron } from './neuron.js';
import { NEURON_UNIFORMS, neuronOf } from './neuron.js';

/** Sizes of one layer of spiking attention. */
export interface AttentionSizes {
  readonly neuron: GpuNeuron;
  /** T */ readonly timeSteps: number;
  /** B */ readonly batch: number;
  /** L */ readonly length: number;
  /** D */ readonly width: number;
  /** H */ readonly heads: number;
  /** K */ readonly headWidth: number;
  /** Words of 32 spikes that hold a head's channels. */ readonly words: number;
  /** R */ readonly maxDistance: number;
}

/** Sums that one invocation holds in registers, a vector of four per time step and word; more of them would not fit. */
const MOST_SUMS = 32;

/** @throws ShapeError when shapes disagree; BackendError where time steps × head width are beyond what the kernels hold in registers. */
export function attentionSizes(qkvShape: readonly number[], attrs: NamedAttrMap | undefined, maxDistance: number): AttentionSizes {
  const neuron = neuronOf(attrs);
  const [timeSteps = 0, batch = 0, length = 0, channels = 0] = qkvShape;
  const heads = Number(attrs?.['heads']);
  const width = channels / 3;
  const headWidth = width / heads;
  if (!Number.isInteger(headWidth)) throw new ShapeError(`${channels} channels of qkv do not divide into 3 × ${heads} heads`);
  if (maxDistance < length) throw new ShapeError(`the distance bias reaches ${maxDistance} tokens back; ${length} are needed`);
  if (timeSteps !== neuron.timeSteps) throw new ShapeError(`qkv has ${timeSteps} time steps; ${neuron.timeSteps} were expected`);
  const words = Math.ceil(headWidth / 32);
  if (timeSteps * words > MOST_SUMS) {
    throw new BackendError(`attention of ${timeSteps} time steps with heads of ${headWidth} channels does not fit the webgpu kernels`, { suggestions: ['--set student.timeSteps=4', '--backend wasm'] });
  }
  return { neuron, timeSteps, batch, length, width, heads, headWidth, words, maxDistance };
}

/** Sizes from the tensors of a forward pass. @throws ShapeError */
export function sizesOfInputs(qkv: TensorInfo, rest: { readonly gain: TensorInfo; readonly distanceBias: TensorInfo }, attrs: NamedAttrMap | undefined): AttentionSizes {
  extents(qkv, 4, 'qkv');
  const sizes = attentionSizes(qkv.shape, attrs, extents(rest.distanceBias, 2, 'distanceBias')[1] ?? 0);
  expectShape(qkv, qkv.shape, 'qkv');
  expectShape(rest.gain, [sizes.heads], 'gain');
  expectShape(rest.distanceBias, [sizes.heads, sizes.maxDistance], 'distanceBias');
  return sizes;
}

/** What the kernels of a layer know beside their tensors, in the order of `sizeNumbers`. */
export const SIZE_UNIFORMS: ReadonlyArray<readonly [name: string, type: UniformType]> =
  [['batch', 'u32'], ['length', 'u32'], ['heads', 'u32'], ['maxDistance', 'u32'], ...NEURON_UNIFORMS];

export function sizeNumbers({ batch, length, heads, maxDistance, neuron }: AttentionSizes): number[] {
  return [batch, length, heads, maxDistance, ...neuron.numbers];
}

/** Sequences are units: a kernel can run on some of them at a time. */
export function cutSequences(sizes: AttentionSizes, workgroups: (some: AttentionSizes) => GpuCall['workgroups']): Pick<CutCall, 'units' | 'plan'> {
  const plan = (batch: number): ReturnType<CutCall['plan']> => ({ uniforms: sizeNumbers({ ...sizes, batch }), workgroups: workgroups({ ...sizes, batch }) });
  return { units: sizes.batch, plan };
}

/** How the sequences of a batch lie in the tensors of a layer. */
export function sequenceLayouts({ timeSteps, length, width, heads, words }: AttentionSizes): Readonly<Record<'qkv' | 'bits' | 'valueBits' | 'values', Layout>> {
  return {
    qkv: [timeSteps, length * 3 * width], bits: [3 * timeSteps, heads * length * words],
    valueBits: [timeSteps, heads * Math.ceil(length / 32) * 32 * words], values: [timeSteps, length * width],
  };
}

/** 0, 1, … count − 1 */
export const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** Lines of code, one per item. */
export const lines = (items: readonly number[], line: (item: number) => string): string => items.map(line).join('\n    ');
