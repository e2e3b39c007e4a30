import type { KernelConfig, NamedAttrMap, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';

import { addWriteGradTensors, addWriteTensors } from '../residual-tensors.js';
import type { Layout } from './cut.js';
import { runCut } from './cut.js';
import type { GpuDispatcher, GpuKernel, UniformType } from './dispatch.js';
import { spreadGroups } from './dispatch.js';
import { GROUP, MAIN } from './sums.js';

/** `BispikAddWrite`, a residual stream with what is written to it and its mean over time, and its gradient; an invocation takes a number of all time steps. */
export function residualKernels(gpu: GpuDispatcher): KernelConfig[] {
  return [
    { kernelName: 'BispikAddWrite', backendName: 'webgpu', kernelFunc: ({ inputs }) => forward(gpu, inputs) },
    { kernelName: 'BispikAddWriteGrad', backendName: 'webgpu', kernelFunc: ({ inputs, attrs }) => backward(gpu, inputs, attrs) },
  ];
}

const SIZES: ReadonlyArray<readonly [string, UniformType]> = [['count', 'u32'], ['timeSteps', 'u32'], ['factor', 'f32']];
const NUMBER = `${MAIN}
  let i = group * ${GROUP}u + local;
  if (i >= uniforms.count) { return; }`;

const FORWARD: GpuKernel = {
  name: 'BispikAddWrite',
  tensors: [['stream', 'read', 'f32'], ['added', 'read', 'f32'], ['out', 'write', 'f32'], ['mean', 'write', 'f32']],
  uniforms: [...SIZES, ['streamStep', 'u32']],
  code: `${NUMBER}
  var total = 0.0;
  for (var t = 0u; t < uniforms.timeSteps; t++) {
    let sum = stream[t * uniforms.streamStep + i] + added[t * uniforms.count + i];
    out[t * uniforms.count + i] = sum;
    total += sum;
  }
  mean[i] = total * uniforms.factor;
}`,
};

const gradientOf = (hasOut: boolean): GpuKernel => ({
  name: 'BispikAddWriteGrad',
  tensors: [['dMean', 'read', 'f32'], ...(hasOut ? [['dOut', 'read', 'f32'] as const] : []), ['dx', 'write', 'f32']],
  uniforms: SIZES,
  code: `${NUMBER}
  let share = dMean[i] * uniforms.factor;
  for (var t = 0u; t < uniforms.timeSteps; t++) { dx[t * uniforms.count + i] = share${hasOut ? ' + dOut[t * uniforms.count + i]' : ''}; }
}`,
});
const [GRADIENT_OF_BOTH, GRADIENT_OF_MEAN] = [gradientOf(true), gradientOf(false)];

function forward(gpu: GpuDispatcher, inputs: NamedTensorInfoMap): TensorInfo[] {
  const { stream, write, isRepeated, timeSteps, step, count } = addWriteTensors(inputs);
  const outputs = [gpu.makeOutput(write.shape), gpu.makeOutput(step)];
  const [inTime, once]: readonly [Layout, Layout] = [[timeSteps, 1], [1, 1]];
  runCut(gpu, FORWARD, {
    tensors: [stream, write, ...outputs], units: count, layouts: [isRepeated ? once : inTime, inTime, inTime, once],
    plan: (own) => ({ uniforms: [own, timeSteps, 1 / timeSteps, isRepeated ? 0 : own], workgroups: spreadGroups(Math.ceil(own / GROUP)) }),
  });
  return outputs;
}

function backward(gpu: GpuDispatcher, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): TensorInfo {
  const { dMean, dOut, timeSteps, step, count } = addWriteGradTensors(inputs, attrs);
  const dx = gpu.makeOutput([timeSteps, ...step]);
  const inTime: Layout = [timeSteps, 1];
  runCut(gpu, dOut === undefined ? GRADIENT_OF_MEAN : GRADIENT_OF_BOTH, {
    tensors: [dMean, ...(dOut === undefined ? [] : [dOut]), dx], units: count, layouts: [[1, 1], ...(dOut === undefined ? [] : [inTime]), inTime],
    plan: (own) => ({ uniforms: [own, timeSteps, 1 / timeSteps], workgroups: spreadGroups(Math.ceil(own / GROUP)) }),
  });
  return dx;
}
