import type { NamedAttrMap, TensorInfo } from '@tensorflow/tfjs-core';

import { ShapeError } from '../../errors.js';
import type { AttentionSizes } from './attention-sizes.js';
import { SIZE_UNIFORMS, cutSequences, range, sequenceLayouts, sizeNumbers } from './attention-sizes.js';
import type { SoftmaxSizes } from './attention-teacher.js';
import { EXPONENTIAL, scorePairs, softmaxRows, softmaxSizes } from './attention-teacher.js';
import type { OwnRows } from './attention-tiles.js';
import { OWN, blocksOf, chargePairs, openTiles, overLanes, spikingCode, tileCode } from './attention-tiles.js';
import type { Layout } from './cut.js';
import { runCut } from './cut.js';
import type { GpuDispatcher } from './dispatch.js';
import { spreadGroups } from './dispatch.js';
import { sumOverRows } from './sums.js';

/** What a layer's attention spikes are compared with: the equations are those of `mapLoss` in ops/attention-alignment.ts. */
export interface Alignment {
  /** (B·L, teacher's D) */ readonly query: TensorInfo;
  /** (B·L, teacher's D) */ readonly key: TensorInfo;
  readonly teacher: SoftmaxSizes;
  /** Teacher head of each student head. */ readonly headMap: readonly number[];
  readonly gamma: number;
  readonly form: 'raw' | 'row-normalised';
}

/** @throws ShapeError when the teacher's tensors or the head map do not fit the student's. */
export function alignmentOf(given: { readonly query: TensorInfo; readonly key: TensorInfo }, sizes: AttentionSizes, attrs: NamedAttrMap | undefined): Alignment {
  const { batch, length, heads } = sizes;
  const teacher = softmaxSizes(given.query, given.key, { batch, length, heads: Number(attrs?.['teacherHeads']) });
  const headMap = attrs?.['headMap'] as number[];
  if (headMap.length !== heads || headMap.some((head) => !(head >= 0 && head < teacher.heads))) {
    throw new ShapeError(`the head map [${headMap.join(', ')}] does not give each of ${heads} heads one of the teacher's ${teacher.heads}`);
  }
  return { ...given, teacher, headMap, gamma: Number(attrs?.['gamma']), form: attrs?.['form'] as Alignment['form'] };
}

/** What the loss of a layer is made of, and what its gradient needs. */
export interface AlignmentLoss {
  /** () */ readonly loss: TensorInfo;
  /** (2, B, teacher's H, L), of `softmaxRows`. */ readonly softmax: TensorInfo;
  /** (3, B, H, L): what a student's row is multiplied by, what a row of rates is, and what a row's normalisation takes off the gradient. */ readonly rowTerms: TensorInfo;
}

/** `terms(plane, …)`: planes of `rows` (planes, B, H, L) for the pairs of an invocation. */
export const pairTerms = (own: OwnRows): string => {
  const at = (row: string): string => `rows[(plane * uniforms.batch * uniforms.heads + head) * uniforms.length + min(${row}, uniforms.length - 1u)]`;
  const four = (first: number): string => `vec4f(${range(4).map((n) => at(`row + ${first + n}u`)).join(', ')})`;
  return `fn terms(plane: u32, head: u32, row: u32, other: u32) -> Pair {
  ${own === 'query' ? `return Pair(${four(0)}, ${four(4)});` : `let value = vec4f(${at('other')}); return Pair(value, value);`}
}
`;
};

/** `compare`: a teacher's probabilities and the rates of the student's neuron when they are its current. */
export function alignmentCode({ headMap, gamma, form }: Alignment): string {
  return `${EXPONENTIAL}const TEACHER_HEADS = array<u32, ${headMap.length}>(${headMap.map((head) => `${head}u`).join(', ')});
const GAMMA: f32 = ${gamma};
struct Compared { probability: vec4f, rate: vec4f }
fn compare(score: vec4f, greatest: vec4f, inverse: vec4f) -> Compared {
  let e = exponential(score, greatest);
  let probability = e * inverse;
  let x = ${form === 'raw' ? 'probability' : 'e'};
  var u = x;
  var rate = spikeOf(u);
  for (var t = 1u; t < T; t++) {
    u = x + carried(u, spikeOf(u));
    rate += spikeOf(u);
  }
  return Compared(probability, rate / f32(T));
}
`;
}

const halves = ['a', 'b'] as const;

/** `chargePairs` and `fired`, the spikes of all time steps. */
export const FIRED = `var fired = Pair(vec4f(0), vec4f(0));
    ${chargePairs('fired.a += spikes.a; fired.b += spikes.b;')}`;

const teacherScores = ({ teacher }: Alignment, own: OwnRows): string =>
  `let teacherHead = TEACHER_HEADS[h];
    ${scorePairs(teacher, own === 'query' ? { mine: 'teacherQuery', lanes: 'teacherKey' } : { mine: 'teacherKey', lanes: 'teacherQuery' })}`;

/** `extra`: the gradient of every attention spike, whatever its time step, from the spikes' counts and from the loss. */
export function alignPairs(alignment: Alignment, own: OwnRows): string {
  const planes = ['greatest', 'inverse', 'alpha', 'beta', 'factor'];
  return `var extra: Pair;
    ${teacherScores(alignment, own)}
    ${planes.map((name, i) => `let ${name} = terms(${i + 1}u, head, row, other);`).join(' ')}
    ${halves.map((half) => `let compared${half} = compare(scores.${half}, greatest.${half}, inverse.${half});
    let mean${half} = fired.${half} / f32(T) * alpha.${half};
    extra.${half} = base.${half} + factor.${half} * (GAMMA * (mean${half} - compared${half}.rate * beta.${half}) + (1.0 - GAMMA) * (mean${half} - compared${half}.probability));`).join('\n    ')}`;
}

/** Sums over a row's keys: of the student's mean map m, the rates r and the probabilities p. */
const SUMS = { raw: ['loss'], 'row-normalised': ['mm', 'mr', 'rr', 'mp', 'pp', 'r'] } as const;
const PRODUCTS: Readonly<Record<(typeof SUMS)['raw' | 'row-normalised'][number], string>> = {
  loss: 'GAMMA * (m - r) * (m - r) + (1.0 - GAMMA) * (m - p) * (m - p)', mm: 'm * m', mr: 'm * r', rr: 'r * r', mp: 'm * p', pp: 'p * p', r: 'r',
};

/** One spike in T steps is the smallest sum of a row that is not silent (see `mapLoss`). */
const rowEnd = ({ timeSteps }: AttentionSizes, form: Alignment['form']): string => (form === 'raw'
  ? 'let alpha = 1.0; let beta = 1.0; let off = 0.0; let rowLoss = lossTotal;'
  : `let fired = counts[min(index, uniforms.batch * uniforms.heads * uniforms.length - 1u)];
  let alpha = ${timeSteps}.0 / max(fired, 1.0);
  let beta = 1.0 / max(rTotal, 1.0 / ${timeSteps}.0);
  let direct = alpha * mmTotal - mpTotal;
  let off = select(0.0, alpha * alpha * 2.0 * (GAMMA * (alpha * mmTotal - beta * mrTotal) + (1.0 - GAMMA) * direct), fired >= 1.0);
  let rowLoss = GAMMA * (alpha * alpha * mmTotal - 2.0 * alpha * beta * mrTotal + beta * beta * rrTotal) + (1.0 - GAMMA) * (alpha * (direct - mpTotal) + ppTotal);`);

function lossCode(sizes: AttentionSizes, alignment: Alignment): string {
  const sums: readonly (keyof typeof PRODUCTS)[] = SUMS[alignment.form];
  const softmaxRow = (plane: number): string => `(${plane}u * uniforms.batch * ${alignment.teacher.heads}u + b * ${alignment.teacher.heads}u + TEACHER_HEADS[h]) * uniforms.length`;
  const four = (plane: number, first: number): string => `vec4f(${range(4).map((n) => `softmax[${softmaxRow(plane)} + min(row + ${first + n}u, uniforms.length - 1u)]`).join(', ')})`;
  return `${tileCode('query', { own: ['teacherQuery'], lanes: ['teacherKey'] })}${spikingCode(sizes, 'query')}${alignmentCode(alignment)}
${openTiles('query', `${halves.map((half, i) => `let greatest${half} = ${four(0, 4 * i)}; let inverse${half} = ${four(1, 4 * i)};`).join('\n  ')}
  ${sums.map((name) => `var ${name}Sum = Pair(vec4f(0), vec4f(0));`).join(' ')}`)}
    ${FIRED}
    ${teacherScores(alignment, 'query')}
    ${halves.map((half) => `{ let compared = compare(scores.${half}, greatest${half}, inverse${half});
      let m = fired.${half} / f32(T);
      let r = select(vec4f(0), compared.rate, is${half.toUpperCase()});
      let p = select(vec4f(0), compared.probability, is${half.toUpperCase()});
      ${sums.map((name) => `${name}Sum.${half} += ${PRODUCTS[name]};`).join(' ')} }`).join('\n    ')}
  }
  ${sums.map((name) => overLanes(`${name}Sum`, `${name}Total`)).join('')}
  let index = head * uniforms.length + own0 + local;
  ${rowEnd(sizes, alignment.form)}
  if (local < ${OWN}u && own0 + local < uniforms.length) {
    let plane = uniforms.batch * uniforms.heads * uniforms.length;
    rowLosses[index] = rowLoss;
    rowTerms[index] = alpha; rowTerms[plane + index] = beta; rowTerms[2u * plane + index] = off;
  }
}`;
}

/** What a row's loss is multiplied by in the mean. */
function normOf({ form }: Alignment, { batch, heads, length }: AttentionSizes): number {
  return form === 'raw' ? 2 / (batch * heads * length * (length + 1)) : 1 / (batch * heads * length);
}

/** The loss of a layer; both maps exist a tile at a time. */
export function alignmentLoss(
  gpu: GpuDispatcher, given: { readonly bits: TensorInfo; readonly gain: TensorInfo; readonly distanceBias: TensorInfo; readonly counts: TensorInfo },
  { sizes, alignment }: { readonly sizes: AttentionSizes; readonly alignment: Alignment },
): AlignmentLoss {
  const shape = [sizes.batch, sizes.heads, sizes.length];
  const softmax = softmaxRows(gpu, alignment, alignment.teacher);
  const [rowLosses, rowTerms] = [gpu.makeOutput(shape), gpu.makeOutput([3, ...shape])];
  const hasCounts = alignment.form === 'row-normalised';
  const { teacher } = alignment;
  const [ofTeacher, perQuery]: readonly [Layout, Layout] = [[1, sizes.length * teacher.width], [1, sizes.heads * sizes.length]];
  runCut(gpu, {
    name: 'BispikAlignmentLoss',
    tensors: [
      ['bits', 'read', 'u32'], ['gain', 'read', 'f32'], ['distanceBias', 'read', 'f32'], ['teacherQuery', 'read', 'f32'], ['teacherKey', 'read', 'f32'],
      ['softmax', 'read', 'f32'], ...(hasCounts ? [['counts', 'read', 'f32'] as const] : []), ['rowLosses', 'read_write', 'f32'], ['rowTerms', 'read_write', 'f32'],
    ],
    uniforms: SIZE_UNIFORMS, code: lossCode(sizes, alignment),
  }, {
    tensors: [given.bits, given.gain, given.distanceBias, alignment.query, alignment.key, softmax, ...(hasCounts ? [given.counts] : []), rowLosses, rowTerms],
    layouts: [sequenceLayouts(sizes).bits, null, null, ofTeacher, ofTeacher, [2, teacher.heads * sizes.length], ...(hasCounts ? [perQuery] : []), perQuery, [3, perQuery[1]]],
    ...cutSequences(sizes, (some) => spreadGroups(blocksOf(some))),
  });
  const loss = sumOverRows(gpu, rowLosses, { outer: 1, rows: shape.reduce((n, extent) => n * extent, 1), width: 1, shape: [], factor: normOf(alignment, sizes) });
  gpu.release(rowLosses);
  return { loss, softmax, rowTerms };
}

const rowGradientCode = (sizes: AttentionSizes, { headMap, teacher }: Alignment): string => `const TEACHER_HEADS = array<u32, ${headMap.length}>(${headMap.map((head) => `${head}u`).join(', ')});
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) at: vec3u, @builtin(num_workgroups) spread: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (at.x + at.y * spread.x) * 64u + local;
  let plane = uniforms.batch * uniforms.heads * uniforms.length;
  if (i >= plane) { return; }
  let head = i / uniforms.length;
  let teacherRow = (head / uniforms.heads * ${teacher.heads}u + TEACHER_HEADS[head % uniforms.heads]) * uniforms.length + i % uniforms.length;
  let each = dLoss[0] * uniforms.norm / ${sizes.timeSteps}.0;
  rows[i] = dCounts[i] - each * rowTerms[2u * plane + i];
  rows[plane + i] = softmax[teacherRow];
  rows[2u * plane + i] = softmax[uniforms.batch * ${teacher.heads}u * uniforms.length + teacherRow];
  rows[3u * plane + i] = rowTerms[i];
  rows[4u * plane + i] = rowTerms[plane + i];
  rows[5u * plane + i] = 2.0 * each * rowTerms[i];
}`;

/** Planes (6, B, H, L) that `alignPairs` reads: gradient of each spike without the loss, the teacher's softmax, and the loss's factors per row. */
export function rowGradients(
  gpu: GpuDispatcher, given: { readonly dCounts: TensorInfo; readonly dLoss: TensorInfo } & Omit<AlignmentLoss, 'loss'>,
  { sizes, alignment }: { readonly sizes: AttentionSizes; readonly alignment: Alignment },
): TensorInfo {
  const { batch, heads, length } = sizes;
  const rows = gpu.makeOutput([6, batch, heads, length]);
  gpu.run({
    name: 'BispikAlignmentRows',
    tensors: [['dCounts', 'read', 'f32'], ['dLoss', 'read', 'f32'], ['softmax', 'read', 'f32'], ['rowTerms', 'read', 'f32'], ['rows', 'read_write', 'f32']],
    uniforms: [...SIZE_UNIFORMS, ['norm', 'f32']], code: rowGradientCode(sizes, alignment),
  }, {
    tensors: [given.dCounts, given.dLoss, given.softmax, given.rowTerms, rows], uniforms: [...sizeNumbers(sizes), normOf(alignment, sizes)],
    workgroups: spreadGroups(Math.ceil((batch * heads * length) / 64)),
  });
  return rows;
}
