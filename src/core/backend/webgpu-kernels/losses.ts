import type { KernelConfig, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';

import { expectLabels, extents, inputOf } from '../kernel-tensors.js';
import { runCut } from './cut.js';
import type { GpuDispatcher, GpuKernel } from './dispatch.js';
import { spreadGroups } from './dispatch.js';
import { GROUP, MAIN, overGroup } from './sums.js';

/** `BispikCrossEntropy`: loss and gradient of each row of logits, a workgroup per row. */
export function lossKernels(gpu: GpuDispatcher): KernelConfig[] {
  return [
    { kernelName: 'BispikCrossEntropy', backendName: 'webgpu', kernelFunc: ({ inputs }) => crossEntropy(gpu, inputs) },
  ];
}

/** The largest of some numbers and the sum of e^(number − largest): over parts, then over parts of these. */
export const LARGEST_AND_SUM = `
fn withNumber(so_far: vec2f, v: f32) -> vec2f {
  let e = exp(-abs(v - so_far.x));
  return select(vec2f(so_far.x, so_far.y + e), vec2f(v, so_far.y * e + 1.0), v > so_far.x);
}
${overGroup('largestAndSum', 'vec2f', 'select(vec2f(b.x, b.y + a.y * exp(a.x - b.x)), vec2f(a.x, a.y + b.y * exp(b.x - a.x)), a.x >= b.x)')}`;
/** Below every float: e^(it − v) is 0. */
export const NOTHING_YET = 'vec2f(-3.0e38, 0.0)';
/** A NaN is written as bits, because a compiler may assume that there is none. */
export const NAN_BITS = '0x7fc00000u';

/** loss = −log softmax(logits)[label], gradient = softmax − onehot; both 0 where the label is negative, NaN where it is beyond the row. */
const CROSS_ENTROPY: GpuKernel = {
  name: 'BispikCrossEntropy',
  tensors: [['logits', 'read', 'f32'], ['labels', 'read', 'i32'], ['loss', 'read_write', 'u32'], ['gradient', 'read_write', 'u32']],
  uniforms: [['rows', 'u32'], ['width', 'u32']],
  code: `${LARGEST_AND_SUM}
${MAIN}
  if (group >= uniforms.rows) { return; }
  let start = group * uniforms.width;
  var part = ${NOTHING_YET};
  for (var c = local; c < uniforms.width; c += ${GROUP}u) { part = withNumber(part, logits[start + c]); }
  let all = largestAndSum(part, local);
  let label = labels[group];
  let isBeyond = label >= i32(uniforms.width);
  let factor = select(1.0 / all.y, 0.0, label < 0);
  for (var c = local; c < uniforms.width; c += ${GROUP}u) {
    let p = exp(logits[start + c] - all.x) * factor;
    gradient[start + c] = select(bitcast<u32>(p - select(0.0, 1.0, i32(c) == label)), ${NAN_BITS}, isBeyond);
  }
  if (local == 0u) {
    let nats = log(all.y) + (all.x - logits[start + u32(clamp(label, 0, i32(uniforms.width) - 1))]);
    loss[group] = select(select(bitcast<u32>(nats), 0u, label < 0), ${NAN_BITS}, isBeyond);
  }
}`,
};

function crossEntropy(gpu: GpuDispatcher, inputs: NamedTensorInfoMap): TensorInfo[] {
  const [logits, labels] = [inputOf(inputs, 'logits'), inputOf(inputs, 'labels')];
  const [rows = 0, vocabulary = 0] = extents(logits, 2, 'logits');
  expectLabels(labels, rows);
  const outputs = [gpu.makeOutput([rows]), gpu.makeOutput([rows, vocabulary])];
  runCut(gpu, CROSS_ENTROPY, {
    tensors: [logits, labels, ...outputs], units: rows, layouts: [[1, vocabulary], [1, 1], [1, 1], [1, vocabulary]],
    plan: (count) => ({ uniforms: [count, vocabulary], workgroups: spreadGroups(count) }),
  });
  return outputs;
}
