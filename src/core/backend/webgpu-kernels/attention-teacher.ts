import type { NamedAttrMap, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';

import { ShapeError } from '../../errors.js';
import { expectShape, extents, inputOf } from '../kernel-tensors.js';
import { lines, range } from './attention-sizes.js';
import { OWN, addRows, blocksOf, openTiles, overLanes, tileCode } from './attention-tiles.js';
import type { CutCall, Layout } from './cut.js';
import { runCut } from './cut.js';
import type { GpuDispatcher } from './dispatch.js';
import { spreadGroups } from './dispatch.js';

/** Sizes of one layer of softmax attention; tensors are (B·L, width). */
export interface SoftmaxSizes {
  readonly batch: number;
  readonly length: number;
  readonly heads: number;
  readonly width: number;
  readonly headWidth: number;
}

const UNIFORMS = [['batch', 'u32'], ['length', 'u32'], ['heads', 'u32']] as const;
const rowLayout = ({ length, heads }: SoftmaxSizes): Layout => [2, heads * length];
const matrixLayout = ({ length, width }: SoftmaxSizes): Layout => [1, length * width];
const cutSequences = (sizes: SoftmaxSizes): Pick<CutCall, 'units' | 'plan'> => ({
  units: sizes.batch, plan: (batch) => ({ uniforms: [batch, sizes.length, sizes.heads], workgroups: spreadGroups(blocksOf({ ...sizes, batch })) }),
});

/** @throws ShapeError unless query and key are (B·L, D) and D divides into heads. */
export function softmaxSizes(query: TensorInfo, key: TensorInfo, of: { readonly batch: number; readonly length: number; readonly heads: number }): SoftmaxSizes {
  const [rows = 0, width = 0] = extents(query, 2, 'query');
  const { batch, length, heads } = of;
  if (rows !== batch * length) throw new ShapeError(`query has ${rows} rows; ${batch} × ${length} were expected`);
  if (!Number.isInteger(width / heads)) throw new ShapeError(`${width} channels do not divide into ${heads} heads`);
  expectShape(query, [rows, width], 'query');
  expectShape(key, [rows, width], 'key');
  return { batch, length, heads, width, headWidth: width / heads };
}

/**
 * `scores`: query·key / √K of the pairs of a tile. `teacherHead` is the head's number. The own rows and the others take turns in workgroup memory, 32
 * channels at a time.
 */
export function scorePairs({ width, headWidth }: SoftmaxSizes, own: { readonly mine: string; readonly lanes: string }): string {
  return `var dots = Pair(vec4f(0), vec4f(0));
    for (var c = 0u; c < ${headWidth}u; c += 32u) {
      let start = b * uniforms.length * ${width}u + teacherHead * ${headWidth}u + c;
      let channels = min(32u, ${headWidth}u - c);
      workgroupBarrier();
      own_${own.mine}(start, ${width}u, channels, own0, local);
      lanes_${own.lanes}(start, ${width}u, channels, other0, local);
      workgroupBarrier();
      dots = dotLanes(dots, channels, lane, part);
    }
    let scores = Pair(dots.a * ${1 / Math.sqrt(headWidth)}, dots.b * ${1 / Math.sqrt(headWidth)});`;
}

/**
 * WGSL of `exponential(score, greatest)`, e^(score − greatest): a score within rounding of its row's greatest is taken for it, because kernels may add
 * up in different orders, and the one key of the first row must have the probability 1, not less.
 */
export const EXPONENTIAL = `fn exponential(score: vec4f, greatest: vec4f) -> vec4f {
  let difference = score - greatest;
  return select(exp(difference), vec4f(1), difference > vec4f(-1e-5));
}
`;

/** Every invocation keeps greatest score and sum of its own keys; they meet at the end. */
const ROWS_CODE = (sizes: SoftmaxSizes): string => `${tileCode('query', { own: ['query'], lanes: ['key'] })}
fn further(score: vec4f, greatest: vec4f, sum: vec4f) -> vec4f {
  return sum * exp(min(greatest - score, vec4f(0))) + exp(min(score - greatest, vec4f(0)));
}
${openTiles('query', `let teacherHead = h;
  var greatest = Pair(vec4f(-1e30), vec4f(-1e30));
  var sum = Pair(vec4f(0), vec4f(0));`)}
    ${scorePairs(sizes, { mine: 'query', lanes: 'key' })}
    sum.a = select(sum.a, further(scores.a, greatest.a, sum.a), isA);
    sum.b = select(sum.b, further(scores.b, greatest.b, sum.b), isB);
    greatest.a = select(greatest.a, max(greatest.a, scores.a), isA);
    greatest.b = select(greatest.b, max(greatest.b, scores.b), isB);
  }
  ${overLanes('greatest', 'most', 'max(all, one)')}
  workgroupBarrier();
  if (local < ${OWN}u) { mine[local] = vec4f(most); }
  workgroupBarrier();
  let mostA = vec4f(${range(4).map((n) => `mine[8u * part + ${n}u].x`).join(', ')});
  let mostB = vec4f(${range(4).map((n) => `mine[8u * part + ${n + 4}u].x`).join(', ')});
  ${overLanes('Pair(sum.a * exp(greatest.a - mostA), sum.b * exp(greatest.b - mostB))', 'total')}
  if (local < ${OWN}u && own0 + local < uniforms.length) {
    rows[head * uniforms.length + own0 + local] = most;
    rows[(uniforms.batch * uniforms.heads + head) * uniforms.length + own0 + local] = 1.0 / total;
  }
}`;

/** Greatest score of each query, and 1 over the sum of e^(score − greatest): (2, B, H, L). */
export function softmaxRows(gpu: GpuDispatcher, given: { readonly query: TensorInfo; readonly key: TensorInfo }, sizes: SoftmaxSizes): TensorInfo {
  const rows = gpu.makeOutput([2, sizes.batch, sizes.heads, sizes.length]);
  const matrix = matrixLayout(sizes);
  runCut(gpu, {
    name: 'BispikSoftmaxRows', tensors: [['query', 'read', 'f32'], ['key', 'read', 'f32'], ['rows', 'read_write', 'f32']], uniforms: UNIFORMS, code: ROWS_CODE(sizes),
  }, { tensors: [given.query, given.key, rows], layouts: [matrix, matrix, rowLayout(sizes)], ...cutSequences(sizes) });
  return rows;
}

const contextCode = (sizes: SoftmaxSizes): string => {
  const { width, headWidth } = sizes;
  const words = Math.ceil(headWidth / 32);
  const inWord = (w: number): string => `${32 * w}u + channel < ${headWidth}u`;
  return `${tileCode('query', { own: ['query'], lanes: ['key'] })}${EXPONENTIAL}
fn rowOf(plane: u32, head: u32, row: u32) -> f32 { return rows[(plane * uniforms.batch * uniforms.heads + head) * uniforms.length + min(row, uniforms.length - 1u)]; }
fn valueAt(base: u32, row: u32, channel: u32) -> f32 {
  if (channel >= ${headWidth}u) { return 0.0; }
  return value[base + row * ${width}u + channel];
}
${openTiles('query', `let teacherHead = h;
  let base = b * uniforms.length * ${width}u + h * ${headWidth}u;
  let mostA = vec4f(${range(4).map((n) => `rowOf(0u, head, row + ${n}u)`).join(', ')});
  let mostB = vec4f(${range(4).map((n) => `rowOf(0u, head, row + ${n + 4}u)`).join(', ')});
  var sum: array<vec4f, ${words}>;`)}
    ${scorePairs(sizes, { mine: 'query', lanes: 'key' })}
    workgroupBarrier();
    store(lane, part, Pair(select(vec4f(0), exponential(scores.a, mostA), isA), select(vec4f(0), exponential(scores.b, mostB), isB)));
    workgroupBarrier();
    ${addRows(words, '0u', { setUp: '', factor: (w) => `valueAt(base, other0 + o, ${32 * w}u + channel)` })}
  }
  for (var r = 0u; r < 4u; r++) {
    let row = own0 + 4u * quad + r;
    if (row >= uniforms.length) { break; }
    let inverse = rowOf(1u, head, row);
    ${lines(range(words), (w) => `if (${inWord(w)}) { context[base + row * ${width}u + ${32 * w}u + channel] = sum[${w}][r] * inverse; }`)}
  }
}`;
};

/** `BispikStreamedAttention`: the context (B·L, D) of causal softmax attention; attrs batch, length, heads. No map is stored. */
export function streamedAttention(gpu: GpuDispatcher, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): TensorInfo {
  const [query, key, value] = [inputOf(inputs, 'query'), inputOf(inputs, 'key'), inputOf(inputs, 'value')];
  const sizes = softmaxSizes(query, key, { batch: Number(attrs?.['batch']), length: Number(attrs?.['length']), heads: Number(attrs?.['heads']) });
  expectShape(value, query.shape, 'value');
  const rows = softmaxRows(gpu, { query, key }, sizes);
  const context = gpu.makeOutput(query.shape);
  const matrix = matrixLayout(sizes);
  runCut(gpu, {
    name: 'BispikSoftmaxContext',
    tensors: [['query', 'read', 'f32'], ['key', 'read', 'f32'], ['value', 'read', 'f32'], ['rows', 'read', 'f32'], ['context', 'read_write', 'f32']],
    uniforms: UNIFORMS, code: contextCode(sizes),
  }, { tensors: [query, key, value, rows, context], layouts: [matrix, matrix, matrix, rowLayout(sizes), matrix], ...cutSequences(sizes) });
  gpu.release(rows);
  return context;
}
