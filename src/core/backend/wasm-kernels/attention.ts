import type { KernelConfig, NamedAttrMap, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';

import { ShapeError } from '../../errors.js';
import { expectShape, extents, inputOf } from '../kernel-tensors.js';
import type { KernelHeap } from './heap.js';
import { neuronNumbers } from './lif.js';

/** T, B, L, D, H and R of one attention layer. */
type Sizes = readonly [timeSteps: number, batch: number, length: number, width: number, heads: number, maxDistance: number];

/**
 * `BispikSpikingAttention` (Algorithm 1 with a distance current) and its gradient, on bit-packed queries and keys. `BispikMappedAttention` compares its mean map
 * with a target while it goes through the rows, rateFactor·Σ(x − rate)² + factor·Σ(x − target)², and makes no map in either direction; the rate is that of a
 * neuron fed the target (threshold above 0, so that it is 0 where the target is).
 */
export function attentionKernels(heap: KernelHeap): KernelConfig[] {
  return [
    { kernelName: 'BispikSpikingAttention', backendName: 'wasm', kernelFunc: ({ inputs, attrs }) => forward(heap, inputs, attrs) },
    { kernelName: 'BispikSpikingAttentionGrad', backendName: 'wasm', kernelFunc: ({ inputs, attrs }) => backward(heap, inputs, attrs) },
    { kernelName: 'BispikMappedAttention', backendName: 'wasm', kernelFunc: ({ inputs, attrs }) => forward(heap, inputs, attrs) },
    { kernelName: 'BispikMappedAttentionGrad', backendName: 'wasm', kernelFunc: ({ inputs, attrs }) => backward(heap, inputs, attrs) },
  ];
}

function sizesOf(qkv: TensorInfo, attrs: NamedAttrMap | undefined, maxDistance: number): Sizes {
  const [timeSteps = 0, batch = 0, length = 0, channels = 0] = extents(qkv, 4, 'qkv');
  const heads = Number(attrs?.['heads']);
  const width = channels / 3;
  if (!Number.isInteger(width / heads)) throw new ShapeError(`${channels} channels of qkv do not divide into 3 × ${heads} heads`);
  if (maxDistance < length) throw new ShapeError(`the distance bias reaches ${maxDistance} tokens back; ${length} are needed`);
  expectShape(qkv, [Number(attrs?.['timeSteps']), batch, length, channels], 'qkv');
  return [timeSteps, batch, length, width, heads, maxDistance];
}

/** Values, mean map (with a target the loss instead), counts, density and membranes. */
function forward(heap: KernelHeap, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): TensorInfo[] {
  const [qkv, gain, distanceBias] = [inputOf(inputs, 'qkv'), inputOf(inputs, 'gain'), inputOf(inputs, 'distanceBias')];
  const sizes = sizesOf(qkv, attrs, extents(distanceBias, 2, 'distanceBias')[1] ?? 0);
  const [timeSteps, batch, length, width, heads, maxDistance] = sizes;
  expectShape(gain, [heads], 'gain');
  expectShape(distanceBias, [heads, maxDistance], 'distanceBias');
  const { target } = inputs;
  if (target !== undefined) expectShape(target, [batch, heads, length, length], 'target');
  const values = heap.output([timeSteps, batch, length, width]);
  const compared = heap.output(target === undefined ? [batch, heads, length, length] : []);
  const [counts, density] = [heap.output([batch, heads, length]), heap.output([1])];
  const membrane = heap.output([timeSteps, batch, heads, length, length]);
  const map = heap.address(compared);
  const addresses = [
    ...[qkv, gain, distanceBias].map(heap.address), target === undefined ? 0 : heap.address(target),
    heap.address(values), ...(target === undefined ? [map, 0] : [0, map]), ...[counts, density, membrane].map(heap.address),
  ];
  heap.withScratch(heap.call.attentionScratchBytes(timeSteps, length, width / heads), (scratch) => {
    heap.call.attention(...addresses, ...sizes, ...neuronNumbers(attrs).forward, ...lossFactors(attrs), scratch);
  });
  return [values, compared, counts, density, membrane];
}

/** 0 without a target. */
function lossFactors(attrs: NamedAttrMap | undefined): number[] {
  return ['rateFactor', 'factor'].map((name) => Number(attrs?.[name] ?? 0));
}

function backward(heap: KernelHeap, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): TensorInfo[] {
  const [dValues, qkv, gain, membrane] = [inputOf(inputs, 'dValues'), inputOf(inputs, 'qkv'), inputOf(inputs, 'gain'), inputOf(inputs, 'membrane')];
  const sizes = sizesOf(qkv, attrs, Number(attrs?.['R']));
  const [timeSteps, batch, length, width, heads, maxDistance] = sizes;
  expectShape(dValues, [timeSteps, batch, length, width], 'dValues');
  expectShape(gain, [heads], 'gain');
  expectShape(membrane, [timeSteps, batch, heads, length, length], 'membrane');
  // The kernel takes 0 for an output that nothing depends on.
  const addressOf = (name: string, shape: readonly number[]): number => {
    const tensor = inputs[name];
    if (tensor === undefined) return 0;
    expectShape(tensor, shape, name);
    return heap.address(tensor);
  };
  const map = [batch, heads, length, length];
  const others = [addressOf('dMeanMap', map), addressOf('dLoss', []), addressOf('dCounts', [batch, heads, length]), addressOf('dDensity', [1]), addressOf('target', map)];
  const outputs = [heap.output(qkv.shape), heap.output(gain.shape), heap.output([heads, maxDistance])];
  heap.withScratch(heap.call.attentionGradScratchBytes(timeSteps, length, width / heads), (scratch) => {
    heap.call.attentionGrad(heap.address(dValues), ...others, ...[qkv, gain, membrane, ...outputs].map(heap.address), ...sizes, ...neuronNumbers(attrs).backward, ...lossFactors(attrs), scratch);
  });
  return outputs;
}
