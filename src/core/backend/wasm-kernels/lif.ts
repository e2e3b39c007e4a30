import type { KernelConfig, NamedAttrMap, TensorInfo } from '@tensorflow/tfjs-core';

import { BackendError } from '../../errors.js';
import type { KernelHeap } from './heap.js';
import { expectShape, extents, inputOf } from './heap.js';

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
  /** T, constant, N, C, onOff as the kernels take them. */ readonly numbers: readonly [number, number, number, number, number];
}

/** `BispikLif` (Eq. 1 and its variants, all T steps in one pass) and its gradient. */
export function lifKernels(heap: KernelHeap): KernelConfig[] {
  return [
    {
      kernelName: 'BispikLif', backendName: 'wasm',
      kernelFunc: ({ inputs, attrs }) => forward(heap, [inputOf(inputs, 'x'), inputOf(inputs, 'gain'), inputOf(inputs, 'bias')], attrs),
    },
    {
      kernelName: 'BispikLifGrad', backendName: 'wasm',
      kernelFunc: ({ inputs, attrs }) => {
        const tensors = [inputOf(inputs, 'dy'), inputOf(inputs, 'x'), inputOf(inputs, 'gain'), inputOf(inputs, 'membrane')] as const;
        return backward(heap, tensors, attrs);
      },
    },
  ];
}

function layerOf(x: TensorInfo, gain: TensorInfo, attrs: NamedAttrMap | undefined): LifLayer {
  const neuron = neuronNumbers(attrs);
  const [steps = 0, rows = 0, channels = 0] = extents(x, 3, 'x');
  const onOff = attrs?.['onOff'] === true;
  const { timeSteps } = neuron;
  const constant = steps === 1;
  expectShape(x, [constant ? 1 : timeSteps, rows, channels], 'x');
  const width = onOff ? 2 * channels : channels;
  expectShape(gain, [width], 'gain');
  return { neuron, spikeShape: [timeSteps, rows, width], numbers: [timeSteps, Number(constant), rows, channels, Number(onOff)] };
}

function forward(heap: KernelHeap, [x, gain, bias]: readonly [TensorInfo, TensorInfo, TensorInfo], attrs: NamedAttrMap | undefined): TensorInfo[] {
  const { neuron, spikeShape, numbers } = layerOf(x, gain, attrs);
  expectShape(bias, gain.shape, 'bias');
  const outputs = [heap.output(spikeShape), heap.output(spikeShape)];
  heap.call.lif(...[x, gain, bias, ...outputs].map(heap.address), ...numbers, ...neuron.forward);
  return outputs;
}

function backward(
  heap: KernelHeap,
  [dy, x, gain, membrane]: readonly [TensorInfo, TensorInfo, TensorInfo, TensorInfo],
  attrs: NamedAttrMap | undefined,
): TensorInfo[] {
  const { neuron, spikeShape, numbers } = layerOf(x, gain, attrs);
  expectShape(dy, spikeShape, 'dy');
  expectShape(membrane, spikeShape, 'membrane');
  const outputs = [heap.output(x.shape), heap.output(gain.shape), heap.output(gain.shape)];
  heap.call.lifGrad(...[dy, x, gain, membrane, ...outputs].map(heap.address), ...numbers, ...neuron.backward);
  return outputs;
}
