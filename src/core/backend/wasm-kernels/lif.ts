import type { KernelConfig, NamedAttrMap, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';

import { BackendError } from '../../errors.js';
import { expectShape, inputOf, sizeOf } from '../kernel-tensors.js';
import { affineOf, neuronSizes } from '../neuron-tensors.js';
import type { KernelHeap } from './heap.js';

const RESETS = ['soft', 'soft-leaked', 'hard'];
const SURROGATES = ['atan', 'sigmoid', 'triangle'];

/** Attributes of a leaky integrate-and-fire neuron as the compiled kernels take them. */
export interface NeuronNumbers {
  readonly timeSteps: number;
  /** decay, threshold, reset */ readonly forward: readonly [number, number, number];
  /** decay, threshold, reset, surrogate, alpha, detachReset */ readonly backward: readonly [number, number, number, number, number, number];
}

/** @throws BackendError for a reset or surrogate the kernels do not know. */
export function neuronNumbers(attrs: NamedAttrMap | undefined): NeuronNumbers {
  const forward = [Number(attrs?.['decay']), Number(attrs?.['threshold']), codeOf(RESETS, attrs, 'reset')] as const;
  const surrogate = codeOf(SURROGATES, attrs, 'surrogate');
  const detach = Number(attrs?.['detachReset'] === true);
  return { timeSteps: Number(attrs?.['timeSteps']), forward, backward: [...forward, surrogate, Number(attrs?.['alpha']), detach] };
}

function codeOf(names: readonly string[], attrs: NamedAttrMap | undefined, key: string): number {
  const code = names.indexOf(String(attrs?.[key]));
  if (code < 0) throw new BackendError(`the wasm kernels know ${names.join(', ')} as ${key}, not "${String(attrs?.[key])}"`);
  return code;
}

/** Sizes of one LIF layer. */
interface LifLayer {
  readonly neuron: NeuronNumbers;
  readonly spikeShape: readonly [T: number, N: number, E: number];
  readonly groups: number;
  /** T, constant, N, C, onOff, groups as the kernels take them. */ readonly numbers: readonly number[];
}

/** `BispikLif` (Eq. 1 and its variants, all T steps in one pass, and firing rates) and its gradient; the same without gain and bias; `BispikRateCode`, the rate of a constant current. */
export function lifKernels(heap: KernelHeap): KernelConfig[] {
  return [
    { kernelName: 'BispikLif', backendName: 'wasm', kernelFunc: ({ inputs, attrs }) => forward(heap, inputs, attrs) },
    { kernelName: 'BispikLifGrad', backendName: 'wasm', kernelFunc: ({ inputs, attrs }) => backward(heap, inputs, attrs) },
    { kernelName: 'BispikPlainLif', backendName: 'wasm', kernelFunc: ({ inputs, attrs }) => forward(heap, inputs, attrs) },
    { kernelName: 'BispikPlainLifGrad', backendName: 'wasm', kernelFunc: ({ inputs, attrs }) => backward(heap, inputs, attrs) },
    { kernelName: 'BispikRateCode', backendName: 'wasm', kernelFunc: ({ inputs, attrs }) => rateCode(heap, inputOf(inputs, 'x'), neuronNumbers(attrs)) },
  ];
}

function rateCode(heap: KernelHeap, x: TensorInfo, { timeSteps, forward: numbers }: NeuronNumbers): TensorInfo {
  expectShape(x, x.shape, 'x');
  const out = heap.output(x.shape);
  heap.call.rateCode(heap.address(x), heap.address(out), sizeOf(x.shape), timeSteps, ...numbers);
  return out;
}

function layerOf(inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): LifLayer {
  const neuron = neuronNumbers(attrs);
  const { timeSteps } = neuron;
  const { constant, onOff, rows, channels, neurons, groups } = neuronSizes(inputs, attrs, timeSteps);
  return { neuron, groups, spikeShape: [timeSteps, rows, neurons], numbers: [timeSteps, Number(constant), rows, channels, Number(onOff), groups] };
}

function forward(heap: KernelHeap, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): TensorInfo[] {
  const { neuron, spikeShape, groups, numbers } = layerOf(inputs, attrs);
  const outputs = [heap.output(spikeShape), heap.output([groups])];
  heap.withScratch(heap.call.lifScratchBytes(spikeShape[0], spikeShape[2]), (scratch) => {
    const addresses = [...['x', 'gain', 'bias'].map((name) => addressOf(heap, inputs[name])), ...outputs.map(heap.address)];
    heap.call.lif(...addresses, ...numbers, ...neuron.forward, scratch);
  });
  return outputs;
}

/** 0, which the kernels take for none, where there is no such tensor. */
function addressOf(heap: KernelHeap, tensor: TensorInfo | undefined): number {
  return tensor === undefined ? 0 : heap.address(tensor);
}

function backward(heap: KernelHeap, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): TensorInfo[] {
  const { neuron, spikeShape, groups, numbers } = layerOf(inputs, attrs);
  expectShape(inputOf(inputs, 'dSpikes'), spikeShape, 'dSpikes');
  expectShape(inputOf(inputs, 'dRates'), [groups], 'dRates');
  const outputs = ['x', ...affineOf(inputs)].map((name) => heap.output(inputOf(inputs, name).shape));
  heap.withScratch(heap.call.lifScratchBytes(spikeShape[0], spikeShape[2]), (scratch) => {
    const given = ['dSpikes', 'dRates', 'x', 'gain', 'bias'].map((name) => addressOf(heap, inputs[name]));
    heap.call.lifGrad(...given, ...[0, 1, 2].map((i) => addressOf(heap, outputs[i])), ...numbers, ...neuron.backward, scratch);
  });
  return outputs;
}
