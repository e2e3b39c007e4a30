import type { KernelConfig, NamedAttrMap, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';

import { layerNormGradTensors, layerNormTensors } from '../layer-norm-tensors.js';
import type { Layout } from './cut.js';
import { runCut } from './cut.js';
import type { GpuDispatcher, GpuKernel } from './dispatch.js';
import { spreadGroups } from './dispatch.js';
import { GROUP, MAIN, overGroup, sumOverRows } from './sums.js';

/** Workgroups beyond which more of them do not fill a device better: then each takes more rows, which makes the partial sums fewer. */
const ENOUGH_GROUPS = 1024;
const MOST_ROWS = 32;

/** `BispikLayerNorm`, a workgroup per row, and its gradient, a workgroup per few rows. */
export function layerNormKernels(gpu: GpuDispatcher): KernelConfig[] {
  return [
    { kernelName: 'BispikLayerNorm', backendName: 'webgpu', kernelFunc: ({ inputs, attrs }) => forward(gpu, inputs, attrs) },
    { kernelName: 'BispikLayerNormGrad', backendName: 'webgpu', kernelFunc: ({ inputs }) => backward(gpu, inputs) },
  ];
}

const WEIGHT_AND_BIAS: GpuKernel['tensors'] = [['weight', 'read', 'f32'], ['bias', 'read', 'f32']];

const forwardOf = (hasWeight: boolean): GpuKernel => ({
  name: 'BispikLayerNorm',
  tensors: [['x', 'read', 'f32'], ...(hasWeight ? WEIGHT_AND_BIAS : []), ['y', 'read_write', 'f32'], ['means', 'read_write', 'f32'], ['rstds', 'read_write', 'f32']],
  uniforms: [['rows', 'u32'], ['width', 'u32'], ['epsilon', 'f32']],
  code: `${overGroup('total', 'f32')}
${MAIN}
  if (group >= uniforms.rows) { return; }
  let start = group * uniforms.width;
  var sum = 0.0;
  for (var c = local; c < uniforms.width; c += ${GROUP}u) { sum += x[start + c]; }
  let mean = total(sum, local) / f32(uniforms.width);
  var squares = 0.0;
  for (var c = local; c < uniforms.width; c += ${GROUP}u) { let d = x[start + c] - mean; squares += d * d; }
  let rstd = 1.0 / sqrt(total(squares, local) / f32(uniforms.width) + uniforms.epsilon);
  for (var c = local; c < uniforms.width; c += ${GROUP}u) { y[start + c] = (x[start + c] - mean) * rstd${hasWeight ? ' * weight[c] + bias[c]' : ''}; }
  if (local == 0u) { means[group] = mean; rstds[group] = rstd; }
}`,
});
const [FORWARD, PLAIN_FORWARD] = [forwardOf(true), forwardOf(false)];

/**
 * dx = rstd·(g − mean(g) − x̂·mean(g·x̂)) with g = dy·weight; the sums of dy·x̂ and of dy over the rows of a workgroup stay in its registers,
 * `columns` per invocation.
 */
const gradientOf = (columns: number): GpuKernel => ({
  name: 'BispikLayerNormGrad',
  tensors: [
    ['dy', 'read', 'f32'], ['x', 'read', 'f32'], ['weight', 'read', 'f32'], ['means', 'read', 'f32'], ['rstds', 'read', 'f32'],
    ['dx', 'read_write', 'f32'], ['dWeight', 'read_write', 'f32'], ['dBias', 'read_write', 'f32'],
  ],
  uniforms: [['rows', 'u32'], ['width', 'u32'], ['blocks', 'u32'], ['rowsEach', 'u32']],
  code: `${overGroup('total', 'vec2f')}
${MAIN}
  if (group >= uniforms.blocks) { return; }
  var weightSums: array<f32, ${columns}>;
  var biasSums: array<f32, ${columns}>;
  let last = min(uniforms.rows, (group + 1u) * uniforms.rowsEach);
  for (var row = group * uniforms.rowsEach; row < last; row++) {
    let start = row * uniforms.width;
    let mean = means[row];
    let rstd = rstds[row];
    var sums = vec2f(0.0);
    for (var k = 0u; k < ${columns}u; k++) {
      let c = k * ${GROUP}u + local;
      if (c < uniforms.width) {
        let d = dy[start + c];
        let normalised = (x[start + c] - mean) * rstd;
        sums += d * weight[c] * vec2f(1.0, normalised);
        weightSums[k] += d * normalised;
        biasSums[k] += d;
      }
    }
    let average = total(sums, local) / f32(uniforms.width);
    for (var c = local; c < uniforms.width; c += ${GROUP}u) {
      let normalised = (x[start + c] - mean) * rstd;
      dx[start + c] = rstd * (dy[start + c] * weight[c] - average.x - normalised * average.y);
    }
  }
  for (var k = 0u; k < ${columns}u; k++) {
    let c = k * ${GROUP}u + local;
    if (c < uniforms.width) { dWeight[group * uniforms.width + c] = weightSums[k]; dBias[group * uniforms.width + c] = biasSums[k]; }
  }
}`,
});

/** As `gradientOf` without a weight, whose sums nobody asks for; a workgroup per row. */
const PLAIN_GRADIENT: GpuKernel = {
  name: 'BispikLayerNormGrad',
  tensors: [['dy', 'read', 'f32'], ['x', 'read', 'f32'], ['means', 'read', 'f32'], ['rstds', 'read', 'f32'], ['dx', 'read_write', 'f32']],
  uniforms: [['rows', 'u32'], ['width', 'u32']],
  code: `${overGroup('total', 'vec2f')}
${MAIN}
  if (group >= uniforms.rows) { return; }
  let start = group * uniforms.width;
  let mean = means[group];
  let rstd = rstds[group];
  var sums = vec2f(0.0);
  for (var c = local; c < uniforms.width; c += ${GROUP}u) { sums += dy[start + c] * vec2f(1.0, (x[start + c] - mean) * rstd); }
  let average = total(sums, local) / f32(uniforms.width);
  for (var c = local; c < uniforms.width; c += ${GROUP}u) { dx[start + c] = rstd * (dy[start + c] - average.x - (x[start + c] - mean) * rstd * average.y); }
}`,
};

function forward(gpu: GpuDispatcher, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): TensorInfo[] {
  const { given, hasWeight, rows, width } = layerNormTensors(inputs);
  const outputs = [gpu.makeOutput([rows, width]), gpu.makeOutput([rows]), gpu.makeOutput([rows])];
  runCut(gpu, hasWeight ? FORWARD : PLAIN_FORWARD, {
    tensors: [...present(given), ...outputs], units: rows, layouts: [[1, width], ...(hasWeight ? [null, null] : []), [1, width], [1, 1], [1, 1]],
    plan: (count) => ({ uniforms: [count, width, Number(attrs?.['eps'])], workgroups: spreadGroups(count) }),
  });
  return outputs;
}

function backward(gpu: GpuDispatcher, inputs: NamedTensorInfoMap): TensorInfo[] {
  const { given, hasWeight, rows, width } = layerNormGradTensors(inputs);
  const tensors = present(given);
  return hasWeight ? weightedBackward(gpu, tensors, { rows, width }) : [plainBackward(gpu, tensors, { rows, width })];
}

const present = (given: ReadonlyArray<TensorInfo | undefined>): TensorInfo[] => given.filter((tensor) => tensor !== undefined);

interface Extents { readonly rows: number; readonly width: number }

function plainBackward(gpu: GpuDispatcher, given: readonly TensorInfo[], { rows, width }: Extents): TensorInfo {
  const dx = gpu.makeOutput([rows, width]);
  const [row, number]: readonly [Layout, Layout] = [[1, width], [1, 1]];
  runCut(gpu, PLAIN_GRADIENT, {
    tensors: [...given, dx], units: rows, layouts: [row, row, number, number, row],
    plan: (count) => ({ uniforms: [count, width], workgroups: spreadGroups(count) }),
  });
  return dx;
}

function weightedBackward(gpu: GpuDispatcher, given: readonly TensorInfo[], { rows, width }: Extents): TensorInfo[] {
  const rowsEach = Math.min(MOST_ROWS, Math.max(1, Math.floor(rows / ENOUGH_GROUPS)));
  const blocks = Math.ceil(rows / rowsEach);
  const dx = gpu.makeOutput([rows, width]);
  const partial = [gpu.makeOutput([blocks, width]), gpu.makeOutput([blocks, width])];
  const [matrix, numbers, sums]: readonly [Layout, Layout, Layout] = [[1, rowsEach * width], [1, rowsEach], [1, width]];
  runCut(gpu, gradientOf(Math.ceil(width / GROUP)), {
    tensors: [...given, dx, ...partial], units: blocks, layouts: [matrix, matrix, null, numbers, numbers, matrix, sums, sums],
    plan: (count, first) => ({ uniforms: [Math.min(rows - first * rowsEach, count * rowsEach), width, count, rowsEach], workgroups: spreadGroups(count) }),
  });
  const summed = partial.map((sums) => sumOverRows(gpu, sums, { outer: 1, rows: blocks, width, shape: [width] }));
  partial.forEach((made) => { gpu.release(made); });
  return [dx, ...summed];
}
