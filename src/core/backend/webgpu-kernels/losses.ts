import type { KernelConfig, NamedAttrMap, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';

import { expectLabels, expectShape, extents, inputOf } from '../kernel-tensors.js';
import type { GpuDispatcher, GpuKernel } from './dispatch.js';
import { spreadGroups } from './dispatch.js';
import { GROUP, MAIN, overGroup } from './sums.js';

/** `BispikCrossEntropy` and `BispikSoftTarget`: loss and gradient of each row of logits, a workgroup per row. */
export function lossKernels(gpu: GpuDispatcher): KernelConfig[] {
  return [
    { kernelName: 'BispikCrossEntropy', backendName: 'webgpu', kernelFunc: ({ inputs }) => crossEntropy(gpu, inputs) },
    { kernelName: 'BispikSoftTarget', backendName: 'webgpu', kernelFunc: ({ inputs, attrs }) => softTarget(gpu, inputs, attrs) },
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

/** divergence = Σ p_T·(log p_T − log p_S) with p = softmax(logits/temperature), gradient = (p_S − p_T)/temperature. */
const SOFT_TARGET: GpuKernel = {
  name: 'BispikSoftTarget',
  tensors: [['student', 'read', 'f32'], ['teacher', 'read', 'f32'], ['divergence', 'read_write', 'f32'], ['gradient', 'read_write', 'f32']],
  uniforms: [['rows', 'u32'], ['width', 'u32'], ['scale', 'f32']],
  code: `${LARGEST_AND_SUM}
${overGroup('total', 'f32')}
${MAIN}
  if (group >= uniforms.rows) { return; }
  let start = group * uniforms.width;
  var partS = ${NOTHING_YET};
  var partT = ${NOTHING_YET};
  for (var c = local; c < uniforms.width; c += ${GROUP}u) {
    partS = withNumber(partS, student[start + c] * uniforms.scale);
    partT = withNumber(partT, teacher[start + c] * uniforms.scale);
  }
  let s = largestAndSum(partS, local);
  let t = largestAndSum(partT, local);
  var sum = 0.0;
  for (var c = local; c < uniforms.width; c += ${GROUP}u) {
    // Each less its largest first: two rows that differ by a constant differ by nothing.
    let zS = student[start + c] * uniforms.scale - s.x;
    let zT = teacher[start + c] * uniforms.scale - t.x;
    let pT = exp(zT) / t.y;
    sum += pT * (zT - zS);
    gradient[start + c] = (exp(zS) / s.y - pT) * uniforms.scale;
  }
  sum = total(sum, local);
  if (local == 0u) { divergence[group] = sum + log(s.y) - log(t.y); }
}`,
};

function crossEntropy(gpu: GpuDispatcher, inputs: NamedTensorInfoMap): TensorInfo[] {
  const [logits, labels] = [inputOf(inputs, 'logits'), inputOf(inputs, 'labels')];
  const [rows = 0, vocabulary = 0] = extents(logits, 2, 'logits');
  expectLabels(labels, rows);
  const outputs = [gpu.makeOutput([rows]), gpu.makeOutput([rows, vocabulary])];
  gpu.run(CROSS_ENTROPY, { tensors: [logits, labels, ...outputs], uniforms: [rows, vocabulary], workgroups: spreadGroups(rows) });
  return outputs;
}

function softTarget(gpu: GpuDispatcher, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): TensorInfo[] {
  const [student, teacher] = [inputOf(inputs, 'student'), inputOf(inputs, 'teacher')];
  const [rows = 0, vocabulary = 0] = extents(student, 2, 'student');
  expectShape(teacher, [rows, vocabulary], 'teacher');
  const outputs = [gpu.makeOutput([rows]), gpu.makeOutput([rows, vocabulary])];
  gpu.run(SOFT_TARGET, { tensors: [student, teacher, ...outputs], uniforms: [rows, vocabulary, 1 / Number(attrs?.['temperature'])], workgroups: spreadGroups(rows) });
  return outputs;
}
