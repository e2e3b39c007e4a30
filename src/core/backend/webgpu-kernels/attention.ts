import type { KernelConfig, NamedAttrMap, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';

import { expectShape, extents, inputOf } from '../kernel-tensors.js';
import { alignmentLoss, alignmentOf, rowGradients } from './attention-alignment.js';
import { attentionGradients } from './attention-backward.js';
import { attendWithSpikes, packAlongChannels } from './attention-forward.js';
import type { AttentionSizes } from './attention-sizes.js';
import { attentionSizes, sizesOfInputs } from './attention-sizes.js';
import { streamedAttention } from './attention-teacher.js';
import type { GpuDispatcher } from './dispatch.js';

type Kernel = (gpu: GpuDispatcher, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined) => TensorInfo | TensorInfo[];

const KERNELS: Readonly<Record<string, Kernel>> = {
  BispikTiledAttention: forward, BispikTiledAttentionGrad: backward,
  BispikAlignedAttention: alignedForward, BispikAlignedAttentionGrad: alignedBackward,
  BispikStreamedAttention: streamedAttention,
};

/** Attention without maps in memory: spiking, spiking and aligned with a teacher, and the teacher's own. */
export function attentionKernels(gpu: GpuDispatcher): KernelConfig[] {
  return Object.entries(KERNELS).map(([kernelName, run]) => ({ kernelName, backendName: 'webgpu', kernelFunc: ({ inputs, attrs }) => run(gpu, inputs, attrs) }));
}

interface Attended {
  readonly sizes: AttentionSizes;
  readonly given: { readonly bits: TensorInfo; readonly gain: TensorInfo; readonly distanceBias: TensorInfo };
  readonly values: TensorInfo;
  readonly counts: TensorInfo;
}

function attend(gpu: GpuDispatcher, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): Attended {
  const [qkv, gain, distanceBias] = [inputOf(inputs, 'qkv'), inputOf(inputs, 'gain'), inputOf(inputs, 'distanceBias')];
  const sizes = sizesOfInputs(qkv, { gain, distanceBias }, attrs);
  const given = { bits: packAlongChannels(gpu, qkv, sizes), gain, distanceBias };
  const [values, counts] = attendWithSpikes(gpu, given, sizes);
  return { sizes, given, values, counts };
}

/** Values (T, B, L, D), counts (B, H, L), and the bits of qkv for the gradient. */
function forward(gpu: GpuDispatcher, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): TensorInfo[] {
  const { values, counts, given } = attend(gpu, inputs, attrs);
  return [values, counts, given.bits];
}

/** As `forward`, and the loss of the layer, the teacher's softmax and the rows' terms for the gradient. */
function alignedForward(gpu: GpuDispatcher, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): TensorInfo[] {
  const { sizes, given, values, counts } = attend(gpu, inputs, attrs);
  const alignment = alignmentOf({ query: inputOf(inputs, 'teacherQuery'), key: inputOf(inputs, 'teacherKey') }, sizes, attrs);
  const { loss, softmax, rowTerms } = alignmentLoss(gpu, { ...given, counts }, { sizes, alignment });
  return [values, counts, loss, given.bits, softmax, rowTerms];
}

/** Sizes and tensors of a backward pass without an alignment. */
function incoming(inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): { sizes: AttentionSizes; given: Omit<Parameters<typeof attentionGradients>[1], 'rows'>; dCounts: TensorInfo } {
  const [dValues, dCounts] = [inputOf(inputs, 'dValues'), inputOf(inputs, 'dCounts')];
  const [bits, gain, distanceBias] = [inputOf(inputs, 'bits'), inputOf(inputs, 'gain'), inputOf(inputs, 'distanceBias')];
  const [timeSteps = 0, batch = 0, length = 0, width = 0] = extents(dValues, 4, 'dValues');
  const sizes = attentionSizes([timeSteps, batch, length, 3 * width], attrs, extents(distanceBias, 2, 'distanceBias')[1] ?? 0);
  expectShape(dValues, [timeSteps, batch, length, width], 'dValues');
  expectShape(dCounts, [batch, sizes.heads, length], 'dCounts');
  return { sizes, given: { bits, gain, distanceBias, dValues }, dCounts };
}

function backward(gpu: GpuDispatcher, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): TensorInfo[] {
  const { sizes, given, dCounts } = incoming(inputs, attrs);
  return attentionGradients(gpu, { ...given, rows: dCounts }, { sizes, alignment: null });
}

function alignedBackward(gpu: GpuDispatcher, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): TensorInfo[] {
  const { sizes, given, dCounts } = incoming(inputs, attrs);
  const alignment = alignmentOf({ query: inputOf(inputs, 'teacherQuery'), key: inputOf(inputs, 'teacherKey') }, sizes, attrs);
  const rows = rowGradients(gpu, { dCounts, dLoss: inputOf(inputs, 'dLoss'), softmax: inputOf(inputs, 'softmax'), rowTerms: inputOf(inputs, 'rowTerms') }, { sizes, alignment });
  const gradients = attentionGradients(gpu, { ...given, rows }, { sizes, alignment });
  gpu.release(rows);
  return gradients;
}
