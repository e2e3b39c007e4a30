import type { KernelConfig, NamedAttrMap, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';

import { expectShape, inputOf, sizeOf } from '../kernel-tensors.js';
import type { Layout } from './cut.js';
import { runCut } from './cut.js';
import type { GpuDispatcher, GpuKernel, UniformType } from './dispatch.js';
import { spreadGroups } from './dispatch.js';
import { GROUP, MAIN } from './sums.js';

const NUMBERS = ['gradScale', 'beta1', 'oneMinusBeta1', 'beta2', 'oneMinusBeta2', 'step', 'rootCorrection', 'epsilon', 'keep', 'lowest'];
/** The lowest float32: WGSL promises nothing about infinities. */
const LOWEST = -(2 - 2 ** -23) * 2 ** 127;

const ADAM: GpuKernel = {
  name: 'BispikAdamStep',
  tensors: [
    ['p', 'read', 'f32'], ['g', 'read', 'f32'], ['m', 'read', 'f32'], ['v', 'read', 'f32'],
    ['nextP', 'read_write', 'f32'], ['nextM', 'read_write', 'f32'], ['nextV', 'read_write', 'f32'],
  ],
  uniforms: [['count', 'u32'], ...NUMBERS.map((name): [string, UniformType] => [name, 'f32'])],
  code: `${MAIN}
  let i = group * ${GROUP}u + local;
  if (i >= uniforms.count) { return; }
  let gradient = g[i] * uniforms.gradScale;
  let first = m[i] * uniforms.beta1 + gradient * uniforms.oneMinusBeta1;
  let second = v[i] * uniforms.beta2 + gradient * gradient * uniforms.oneMinusBeta2;
  let moved = p[i] * uniforms.keep - first * uniforms.step / (sqrt(second) * uniforms.rootCorrection + uniforms.epsilon);
  nextP[i] = select(moved, uniforms.lowest, moved < uniforms.lowest);
  nextM[i] = first;
  nextV[i] = second;
}`,
};

/** `BispikAdamStep`: one AdamW update (Loshchilov & Hutter, 2019) of a parameter and its two moments in one pass; `lowerBound`: what the parameter may not fall below. */
export function adamKernels(gpu: GpuDispatcher): KernelConfig[] {
  return [{ kernelName: 'BispikAdamStep', backendName: 'webgpu', kernelFunc: ({ inputs, attrs }) => adamStep(gpu, inputs, attrs) }];
}

function adamStep(gpu: GpuDispatcher, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): TensorInfo[] {
  const tensors = ['p', 'g', 'm', 'v'].map((name) => inputOf(inputs, name));
  const shape = inputOf(inputs, 'p').shape;
  tensors.forEach((tensor, i) => { expectShape(tensor, shape, 'pgmv'.charAt(i)); });
  const value = (name: string): number => Number(attrs?.[name]);
  const [beta1, beta2, step, learningRate] = [value('beta1'), value('beta2'), value('step'), value('learningRate')];
  const outputs = [gpu.makeOutput(shape), gpu.makeOutput(shape), gpu.makeOutput(shape)];
  const numbers = [
    value('gradScale'), beta1, 1 - beta1, beta2, 1 - beta2,
    learningRate / (1 - beta1 ** step), 1 / Math.sqrt(1 - beta2 ** step), value('epsilon'), 1 - learningRate * value('weightDecay'),
    Math.max(value('lowerBound'), LOWEST),
  ];
  const all = [...tensors, ...outputs];
  runCut(gpu, ADAM, {
    tensors: all, units: sizeOf(shape), layouts: all.map((): Layout => [1, 1]),
    plan: (count) => ({ uniforms: [count, ...numbers], workgroups: spreadGroups(Math.ceil(count / GROUP)) }),
  });
  return outputs;
}
