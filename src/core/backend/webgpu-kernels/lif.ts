import type { KernelConfig, NamedAttrMap, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';

import { expectShape, inputOf, sizeOf } from '../kernel-tensors.js';
import { neuronSizes } from '../neuron-tensors.js';
import { runCut } from './cut.js';
import type { GpuDispatcher } from './dispatch.js';
import { spreadGroups } from './dispatch.js';
import { LIF_GROUP, lifCode, lifGradCode, rateCodeCode, ratesCode } from './lif-code.js';
import type { GpuNeuron, GpuValue } from './neuron.js';
import { NEURON_UNIFORMS, neuronOf } from './neuron.js';
import { sumOverRows } from './sums.js';

/** Invocations beyond which more of them do not fill a device better: then each takes more rows, which makes the partial sums fewer. */
const ENOUGH_INVOCATIONS = 131_072;
const MOST_ROWS = 32;
/** Membranes of four neurons each that fit into the registers of an invocation. */
const MOST_STEPS_OF_FOUR = 8;
/** Counts that one workgroup may sum. */
const COUNTS_AT_ONCE = 65_536;

/** One LIF layer and how it is divided among invocations: each has `value` neighbouring channels and walks through `rowsEach` rows and all T steps. */
export interface GpuLifLayer {
  readonly neuron: GpuNeuron;
  readonly value: GpuValue;
  readonly constant: boolean;
  readonly onOff: boolean;
  readonly groups: number;
  /** T, N, E */ readonly spikeShape: readonly [timeSteps: number, rows: number, neurons: number];
  /** Invocations across the channels. */ readonly lanes: number;
  readonly blocks: number;
  readonly rowsEach: number;
}

/** `BispikLif` (Eq. 1 and its variants, all T steps in one pass, and firing rates, which are counted exactly) and its gradient; `BispikRateCode`, the rate of a constant current. */
export function lifKernels(gpu: GpuDispatcher): KernelConfig[] {
  return [
    { kernelName: 'BispikLif', backendName: 'webgpu', kernelFunc: ({ inputs, attrs }) => forward(gpu, inputs, attrs) },
    { kernelName: 'BispikLifGrad', backendName: 'webgpu', kernelFunc: ({ inputs, attrs }) => backward(gpu, inputs, attrs) },
    { kernelName: 'BispikRateCode', backendName: 'webgpu', kernelFunc: ({ inputs, attrs }) => rateCode(gpu, inputOf(inputs, 'x'), neuronOf(attrs)) },
  ];
}

function rateCode(gpu: GpuDispatcher, x: TensorInfo, neuron: GpuNeuron): TensorInfo {
  expectShape(x, x.shape, 'x');
  const rates = gpu.makeOutput(x.shape);
  runCut(gpu, {
    name: 'BispikRateCode', tensors: [['x', 'read', 'f32'], ['rates', 'read_write', 'f32']], uniforms: [['count', 'u32'], ...NEURON_UNIFORMS], code: rateCodeCode(neuron),
  }, {
    tensors: [x, rates], units: sizeOf(x.shape), layouts: [[1, 1], [1, 1]],
    plan: (count) => ({ uniforms: [count, ...neuron.numbers], workgroups: spreadGroups(Math.ceil(count / LIF_GROUP)) }),
  });
  return rates;
}

function layerOf(inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): GpuLifLayer {
  const neuron = neuronOf(attrs);
  const { timeSteps } = neuron;
  const { constant, onOff, rows, channels, neurons, groups } = neuronSizes(inputs, attrs, timeSteps);
  const value = channels % 4 === 0 && timeSteps <= MOST_STEPS_OF_FOUR ? 'vec4f' : 'f32';
  const lanes = value === 'vec4f' ? channels / 4 : channels;
  const rowsEach = Math.min(MOST_ROWS, Math.max(1, Math.floor((rows * lanes) / ENOUGH_INVOCATIONS)));
  return { neuron, value, constant, onOff, groups, spikeShape: [timeSteps, rows, neurons], lanes, blocks: Math.ceil(rows / rowsEach), rowsEach };
}

const LAYER_UNIFORMS = [['rows', 'u32'], ['lanes', 'u32'], ['blocks', 'u32'], ['rowsEach', 'u32'], ...NEURON_UNIFORMS] as const;

/** The units are blocks of rows, which lie apart where there are several time steps. */
function cutLayer({ spikeShape: [timeSteps, rows, neurons], constant, onOff, lanes, blocks, rowsEach, neuron }: GpuLifLayer) {
  const channels = neurons / (onOff ? 2 : 1);
  return {
    units: blocks,
    x: [constant ? 1 : timeSteps, rowsEach * channels] as const, spikes: [timeSteps, rowsEach * neurons] as const, perBlock: [1, neurons] as const,
    plan: (count: number, first: number) => ({
      uniforms: [Math.min(rows - first * rowsEach, count * rowsEach), lanes, count, rowsEach, ...neuron.numbers], workgroups: spreadGroups(Math.ceil((lanes * count) / LIF_GROUP)),
    }),
  };
}

function forward(gpu: GpuDispatcher, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): TensorInfo[] {
  const layer = layerOf(inputs, attrs);
  const { value, spikeShape, blocks } = layer;
  const spikes = gpu.makeOutput(spikeShape);
  const counts = gpu.makeOutput([blocks, spikeShape[2]], 'int32');
  const given = ['x', 'gain', 'bias'].map((name) => inputOf(inputs, name));
  const { x, spikes: cutSpikes, perBlock, ...cut } = cutLayer(layer);
  runCut(gpu, {
    name: 'BispikLif',
    tensors: [['x', 'read', value], ['gain', 'read', value], ['bias', 'read', value], ['spikes', 'write', value], ['counts', 'read_write', value === 'f32' ? 'u32' : 'vec4u']],
    uniforms: LAYER_UNIFORMS, code: lifCode(layer),
  }, { ...cut, tensors: [...given, spikes, counts], layouts: [x, null, null, cutSpikes, perBlock] });
  return [spikes, ratesOf(gpu, counts, layer)];
}

/** Counts (blocks, E) → mean rates (groups). Frees the counts. */
function ratesOf(gpu: GpuDispatcher, counts: TensorInfo, { spikeShape, blocks, groups }: GpuLifLayer): TensorInfo {
  const [timeSteps, rows, neurons] = spikeShape;
  const size = neurons / groups;
  const isShort = blocks * size <= COUNTS_AT_ONCE;
  const summed = isShort ? counts : sumOverRows(gpu, counts, { outer: 1, rows: blocks, width: neurons, shape: [1, neurons] });
  const rates = gpu.makeOutput([groups]);
  gpu.run({
    name: 'BispikLifRates', tensors: [['counts', 'read', 'u32'], ['rates', 'read_write', 'f32']],
    uniforms: [['blocks', 'u32'], ['neurons', 'u32'], ['size', 'u32'], ['chances', 'f32']], code: ratesCode(),
  }, { tensors: [summed, rates], uniforms: [isShort ? blocks : 1, neurons, size, timeSteps * rows * size], workgroups: [groups, 1, 1] });
  for (const made of new Set([counts, summed])) gpu.release(made);
  return rates;
}

function backward(gpu: GpuDispatcher, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): TensorInfo[] {
  const layer = layerOf(inputs, attrs);
  const { value, spikeShape, groups, blocks } = layer;
  const [timeSteps, rows, neurons] = spikeShape;
  expectShape(inputOf(inputs, 'dSpikes'), spikeShape, 'dSpikes');
  expectShape(inputOf(inputs, 'dRates'), [groups], 'dRates');
  const dx = gpu.makeOutput(inputOf(inputs, 'x').shape);
  const partial = [gpu.makeOutput([blocks, neurons]), gpu.makeOutput([blocks, neurons])];
  const given = ['dSpikes', 'x', 'gain', 'bias', 'dRates'].map((name) => inputOf(inputs, name));
  const { units, x, spikes, perBlock, plan } = cutLayer(layer);
  const rateNumbers = [neurons / groups, (timeSteps * rows * neurons) / groups];
  runCut(gpu, {
    name: 'BispikLifGrad',
    tensors: [
      ['dSpikes', 'read', value], ['x', 'read', value], ['gain', 'read', value], ['bias', 'read', value], ['dRates', 'read', 'f32'],
      ['dx', 'write', value], ['dGain', 'read_write', value], ['dBias', 'read_write', value],
    ],
    uniforms: [...LAYER_UNIFORMS, ['size', 'u32'], ['chances', 'f32']], code: lifGradCode(layer),
  }, {
    tensors: [...given, dx, ...partial], units, layouts: [spikes, x, null, null, null, x, perBlock, perBlock],
    plan: (count, first) => { const { uniforms, workgroups } = plan(count, first); return { uniforms: [...uniforms, ...rateNumbers], workgroups }; },
  });
  const summed = partial.map((rowsOfSums) => sumOverRows(gpu, rowsOfSums, { outer: 1, rows: blocks, width: neurons, shape: [neurons] }));
  partial.forEach((made) => { gpu.release(made); });
  return [dx, ...summed];
}
