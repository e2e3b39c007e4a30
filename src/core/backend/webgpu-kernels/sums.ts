import type { TensorInfo } from '@tensorflow/tfjs-core';

import type { CutCall } from './cut.js';
import { runCut } from './cut.js';
import type { GpuDispatcher, GpuKernel } from './dispatch.js';
import { spreadGroups } from './dispatch.js';

/**
 * Sums in a fixed order: no atomic additions of floats, so the same inputs give the same bits every time. Long sums go in stages through
 * workgroup memory.
 */

/** Invocations of a workgroup of the kernels that reduce. */
export const GROUP = 256;
/** Columns that a workgroup sums; the invocations beyond share the rows of each among them. */
const COLUMNS = 32;
const LANES = GROUP / COLUMNS;
/** Rows one workgroup sums: more are cut into stages. */
const ROWS_AT_ONCE = 512;
/** Numbers of one row that a workgroup sums. */
const RUN = 16 * GROUP;

/** First lines of an entry point whose workgroups are spread by `spreadGroups`; `group` counts them. */
export const MAIN = `@compute @workgroup_size(${GROUP})
fn main(@builtin(workgroup_id) at: vec3u, @builtin(num_workgroups) spread: vec3u, @builtin(local_invocation_index) local: u32) {
  let group = at.x + at.y * spread.x;
`;

/**
 * WGSL of `NAME(value, local)`: the sum (or another `combine` of a and b) over the invocations of a workgroup, known to all of them. Two barriers, whatever the
 * size: a software adapter pays dearly for each.
 */
export function overGroup(name: string, type: string, combine = 'a + b'): string {
  return `var<workgroup> ${name}All: array<${type}, ${GROUP}>;
var<workgroup> ${name}Few: array<${type}, 16>;
fn ${name}Of(a: ${type}, b: ${type}) -> ${type} { return ${combine}; }
fn ${name}(value: ${type}, local: u32) -> ${type} {
  ${name}All[local] = value;
  workgroupBarrier();
  if (local < 16u) {
    var few = ${name}All[local];
    for (var i = local + 16u; i < ${GROUP}u; i += 16u) { few = ${name}Of(few, ${name}All[i]); }
    ${name}Few[local] = few;
  }
  workgroupBarrier();
  var all = ${name}Few[0];
  for (var i = 1u; i < 16u; i++) { all = ${name}Of(all, ${name}Few[i]); }
  return all;
}
`;
}

/** A matrix, or `outer` of them one after another, whose rows are to be added up. */
export interface Rows {
  readonly outer: number;
  readonly rows: number;
  readonly width: number;
}

type SumType = 'f32' | 'u32';

const sumKernel = (name: string, type: SumType, body: string): GpuKernel => ({
  name, tensors: [['x', 'read', type], ['y', 'read_write', type]],
  uniforms: [['outer', 'u32'], ['rows', 'u32'], ['width', 'u32'], ['segments', 'u32'], ['each', 'u32'], ['factor', type]],
  code: body,
});

/** y (outer, segments, width) from x (outer, rows, width). */
const columnCode = (type: SumType): string => `var<workgroup> parts: array<${type}, ${GROUP}>;
${MAIN}
  let stripes = (uniforms.width + ${COLUMNS - 1}u) / ${COLUMNS}u;
  if (group >= stripes * uniforms.segments * uniforms.outer) { return; }
  let column = group % stripes * ${COLUMNS}u + local % ${COLUMNS}u;
  let segment = group / stripes % uniforms.segments;
  let outer = group / stripes / uniforms.segments;
  let end = min(uniforms.rows, (segment + 1u) * uniforms.each);
  var sum = ${type}(0);
  if (column < uniforms.width) {
    for (var row = segment * uniforms.each + local / ${COLUMNS}u; row < end; row += ${LANES}u) {
      sum += x[(outer * uniforms.rows + row) * uniforms.width + column];
    }
  }
  parts[local] = sum;
  workgroupBarrier();
  if (local >= ${COLUMNS}u || column >= uniforms.width) { return; }
  for (var lane = 1u; lane < ${LANES}u; lane++) { sum += parts[lane * ${COLUMNS}u + local]; }
  y[(outer * uniforms.segments + segment) * uniforms.width + column] = sum * uniforms.factor;
}`;

/** y (outer, segments) from x (outer, rows). */
const RUN_CODE = `${overGroup('total', 'f32')}
${MAIN}
  if (group >= uniforms.segments * uniforms.outer) { return; }
  let segment = group % uniforms.segments;
  let start = group / uniforms.segments * uniforms.rows;
  let end = min(uniforms.rows, (segment + 1u) * uniforms.each);
  var sum = 0.0;
  for (var i = segment * uniforms.each + local; i < end; i += ${GROUP}u) { sum += x[start + i]; }
  sum = total(sum, local);
  if (local == 0u) { y[group] = sum * uniforms.factor; }
}`;

const COLUMN_SUMS: Readonly<Record<SumType, GpuKernel>> = {
  f32: sumKernel('BispikColumnSums', 'f32', columnCode('f32')), u32: sumKernel('BispikColumnCounts', 'u32', columnCode('u32')),
};
const RUN_SUMS = sumKernel('BispikRunSums', 'f32', RUN_CODE);

/**
 * Sums of the rows of x (outer, rows, width), float32, or whole numbers that are not negative as int32, times a factor.
 * @returns outer·width numbers of the shape given.
 */
export function sumOverRows(gpu: GpuDispatcher, x: TensorInfo, sum: Rows & { readonly shape: readonly number[]; readonly factor?: number }): TensorInfo {
  const isRun = sum.width === 1 && x.dtype === 'float32';
  const each = isRun ? RUN : ROWS_AT_ONCE;
  const segments = Math.max(1, Math.ceil(sum.rows / each));
  const { outer, width } = sum;
  const isLast = segments === 1;
  const y = gpu.makeOutput(isLast ? sum.shape : [outer, segments, width], x.dtype === 'int32' ? 'int32' : 'float32');
  runCut(gpu, isRun ? RUN_SUMS : COLUMN_SUMS[x.dtype === 'int32' ? 'u32' : 'f32'], {
    tensors: [x, y],
    ...cutSums({ ...sum, segments, each }, (part) => ({
      uniforms: [part.outer, part.rows, part.width, part.segments, each, isLast ? (sum.factor ?? 1) : 1],
      workgroups: spreadGroups(part.outer * part.segments * (isRun ? 1 : Math.ceil(part.width / COLUMNS))),
    })),
  });
  if (isLast) return y;
  const all = sumOverRows(gpu, y, { ...sum, rows: segments });
  gpu.release(y);
  return all;
}

interface Stage extends Rows { readonly segments: number; readonly each: number }

/** Where a stage can be cut without another order of its sums: between matrices, between segments, or, where there is one segment, between columns. */
function cutSums(stage: Stage, plan: (part: Stage) => ReturnType<CutCall['plan']>): Omit<CutCall, 'tensors'> {
  const { outer, rows, width, segments, each } = stage;
  if (outer > 1) return { units: outer, layouts: [[1, rows * width], [1, segments * width]], plan: (count) => plan({ ...stage, outer: count }) };
  if (segments === 1) return { units: width, layouts: [[rows, 1], [1, 1]], plan: (count) => plan({ ...stage, width: count }) };
  return {
    units: segments, layouts: [[1, each * width], [1, width]],
    plan: (count, first) => plan({ ...stage, segments: count, rows: Math.min(rows - first * each, count * each) }),
  };
}
