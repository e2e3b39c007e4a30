import type { KernelConfig, NamedAttrMap, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';

import { expectLabels, expectShape, extents, inputOf } from '../kernel-tensors.js';
import type { Layout } from './cut.js';
import { runCut } from './cut.js';
import type { GpuDispatcher, GpuKernel } from './dispatch.js';
import { spreadGroups } from './dispatch.js';
import { LARGEST_AND_SUM, NAN_BITS, NOTHING_YET } from './losses.js';
import { GROUP, MAIN, overGroup } from './sums.js';

/** `BispikHeadLosses`: both losses of each row of logits and the gradient of their weighted sum, written over the logits; a workgroup per row. */
export function headLossKernels(gpu: GpuDispatcher): KernelConfig[] {
  return [{ kernelName: 'BispikHeadLosses', backendName: 'webgpu', kernelFunc: ({ inputs, attrs }) => headLosses(gpu, inputs, attrs) }];
}

/** What the rows are compared with. */
interface Targets { readonly hasLabels: boolean; readonly hasTeacher: boolean }

/**
 * hard = −log softmax(logits)[label], 0 where the label is negative, NaN where it is beyond the row; soft = Σ p_T·(log p_T − log p_S) with
 * p = softmax(logits/temperature). The row is read twice, and each invocation overwrites only what it alone has read.
 */
function kernelFor({ hasLabels, hasTeacher }: Targets): GpuKernel {
  return {
    name: 'BispikHeadLosses',
    tensors: [
      ['logits', 'read_write', 'u32'], ['soft', 'read_write', 'f32'], ['hard', 'read_write', 'u32'],
      ...(hasLabels ? [['labels', 'read', 'i32'], ['hardSlope', 'read', 'f32']] as const : []), ...(hasTeacher ? [['teacher', 'read', 'f32']] as const : []),
    ],
    uniforms: [['rows', 'u32'], ['width', 'u32'], ['scale', 'f32'], ['softSlope', 'f32']],
    code: codeFor({ hasLabels, hasTeacher }),
  };
}

function codeFor({ hasLabels, hasTeacher }: Targets): string {
  return `${LARGEST_AND_SUM}
${hasTeacher ? overGroup('total', 'f32') : ''}
fn logit(i: u32) -> f32 { return bitcast<f32>(logits[i]); }
${MAIN}
  if (group >= uniforms.rows) { return; }
  let start = group * uniforms.width;
  ${hasLabels ? 'let label = labels[group];' : 'let label = -1;'}
  let isBeyond = label >= i32(uniforms.width);
  var part = ${NOTHING_YET};
  ${hasTeacher ? `var partS = ${NOTHING_YET}; var partT = ${NOTHING_YET};` : ''}
  for (var c = local; c < uniforms.width; c += ${GROUP}u) {
    ${hasLabels ? 'part = withNumber(part, logit(start + c));' : ''}
    ${hasTeacher ? 'partS = withNumber(partS, logit(start + c) * uniforms.scale); partT = withNumber(partT, teacher[start + c] * uniforms.scale);' : ''}
  }
  let all = largestAndSum(part, local);
  ${hasTeacher ? 'let s = largestAndSum(partS, local); let t = largestAndSum(partT, local); var sum = 0.0;' : ''}
  let factor = ${hasLabels ? 'select(hardSlope[0] / all.y, 0.0, label < 0)' : '0.0'};
  let own = ${hasLabels ? 'hardSlope[0]' : '0.0'};
  for (var c = local; c < uniforms.width; c += ${GROUP}u) {
    let v = logit(start + c);
    var slope = ${hasLabels ? 'exp(v - all.x) * factor - select(0.0, own, i32(c) == label)' : '0.0'};
    ${hasLabels ? 'if (i32(c) == label) { hard[group] = bitcast<u32>(log(all.y) + (all.x - v)); }' : ''}
    ${hasTeacher ? `let zS = v * uniforms.scale - s.x;
    let zT = teacher[start + c] * uniforms.scale - t.x;
    let pT = exp(zT) / t.y;
    sum += pT * (zT - zS);
    slope += (exp(zS) / s.y - pT) * uniforms.scale * uniforms.softSlope;` : ''}
    logits[start + c] = select(bitcast<u32>(slope), ${NAN_BITS}, isBeyond);
  }
  ${hasTeacher ? 'sum = total(sum, local);' : ''}
  if (local == 0u) {
    soft[group] = ${hasTeacher ? 'sum + log(s.y) - log(t.y)' : '0.0'};
    if (label < 0 || isBeyond) { hard[group] = select(0u, ${NAN_BITS}, isBeyond); }
  }
}`;
}

function headLosses(gpu: GpuDispatcher, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): TensorInfo[] {
  const [logits, hardSlope, { labels, teacher }] = [inputOf(inputs, 'logits'), inputOf(inputs, 'hardSlope'), inputs];
  const [rows = 0, vocabulary = 0] = extents(logits, 2, 'logits');
  expectShape(logits, [rows, vocabulary], 'logits');
  expectShape(hardSlope, [], 'hardSlope');
  if (labels !== undefined) expectLabels(labels, rows);
  if (teacher !== undefined) expectShape(teacher, [rows, vocabulary], 'teacher');
  const losses = [gpu.makeOutput([rows]), gpu.makeOutput([rows])];
  const targets = [...(labels === undefined ? [] : [labels, hardSlope]), ...(teacher === undefined ? [] : [teacher])];
  const targetLayouts: (Layout | null)[] = [...(labels === undefined ? [] : [[1, 1] as const, null]), ...(teacher === undefined ? [] : [[1, vocabulary] as const])];
  runCut(gpu, kernelFor({ hasLabels: labels !== undefined, hasTeacher: teacher !== undefined }), {
    tensors: [logits, ...losses, ...targets], units: rows, layouts: [[1, vocabulary], [1, 1], [1, 1], ...targetLayouts],
    plan: (count) => ({ uniforms: [count, vocabulary, 1 / Number(attrs?.['temperature']), Number(attrs?.['softSlope'])], workgroups: spreadGroups(count) }),
  });
  return [...losses, gpu.overwritten(logits)];
}
