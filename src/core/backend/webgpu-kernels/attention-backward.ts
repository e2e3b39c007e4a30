import type { TensorInfo } from '@tensorflow/tfjs-core';

import type { Alignment } from './attention-alignment.js';
import { FIRED, alignPairs, alignmentCode, pairTerms } from './attention-alignment.js';
import type { AttentionSizes } from './attention-sizes.js';
import { SIZE_UNIFORMS, cutSequences, range, sequenceLayouts, sizeNumbers } from './attention-sizes.js';
import type { OwnRows } from './attention-tiles.js';
import { OTHER, OWN, addRows, blocksOf, chargePairs, openTiles, spikingCode, tileCode } from './attention-tiles.js';
import type { Layout } from './cut.js';
import { runCut } from './cut.js';
import type { GpuDispatcher } from './dispatch.js';
import { spreadGroups } from './dispatch.js';
import { overGroup } from './sums.js';

/**
 * Gradients of spiking attention, tile by tile: counts and membranes are computed once more. Blocks of queries add up dq and what reaches gain and
 * distance current, blocks of keys dk, and again dv, so that no two workgroups write to the same place. With an alignment, the gradient of its loss joins that of
 * every attention spike.
 */

/** Diagonals of a tile: distances between its rows. */
const DIAGONALS = OWN + OTHER - 1;

/** Tensors of a backward pass. */
export interface BackwardTensors {
  readonly bits: TensorInfo;
  readonly gain: TensorInfo;
  readonly distanceBias: TensorInfo;
  readonly dValues: TensorInfo;
  /** (planes, B, H, L): first the gradient of each attention spike of a query, then, with an alignment, what `rowGradients` made. */ readonly rows: TensorInfo;
}

/** Chunks of 32 channels of ∂loss/∂a = Σ dvalues·v added to `ds`. */
function spikeGradient(own: OwnRows): string {
  const [load, dot] = own === 'query'
    ? ['own_dValues(start, uniforms.heads * K, channels, own0, local);', 'dotBits(ds, bits[bitRow(2u, t, head, other) + w], channels, part)']
    : ['ownBits(t, head, w, own0, local); lanes_dValues(start, uniforms.heads * K, channels, other0, local);', 'dotLanes(ds, channels, lane, part)'];
  return `for (var w = 0u; w < W; w++) {
        let start = ((t * uniforms.batch + b) * uniforms.length * uniforms.heads + h) * K + 32u * w;
        let channels = min(32u, K - 32u * w);
        workgroupBarrier();
        ${load}
        workgroupBarrier();
        ds = ${dot};
      }`;
}

const BIT_CODE = `fn bitOf(word: u32, at: u32) -> f32 { return f32((word >> at) & 1u); }
`;
const VECTORS = OWN / 4 + 1;
const DOT_BITS = `fn dotBits(start: Pair, word: u32, channels: u32, part: u32) -> Pair {
  var sum = start;
  for (var c = 0u; c < channels; c++) {
    let y = bitOf(word, c);
    sum.a += mine[c * ${VECTORS}u + 2u * part] * y;
    sum.b += mine[c * ${VECTORS}u + 2u * part + 1u] * y;
  }
  return sum;
}
`;
const OWN_BITS = `fn ownBits(t: u32, head: u32, word: u32, own0: u32, local: u32) {
  let row = own0 + 4u * (local / 32u);
  mine[local % 32u * ${VECTORS}u + local / 32u] = vec4f(${range(4).map((r) => `bitOf(bits[bitRow(2u, t, head, row + ${r}u) + word], local % 32u)`).join(', ')});
}
`;

/** dq or dk of a block: the neurons' gradients of a tile, then its rows added up, from the last time step to the first. */
const pairSteps = (words: number, own: OwnRows): string => `var later = Pair(vec4f(0), vec4f(0));
    for (var step = T; step > 0u; step--) {
      let t = step - 1u;
      var ds = extra;
      ${spikeGradient(own)}
      later = Pair(
        select(vec4f(0), membraneGradient(ds.a, u[t].a, later.a), isA),
        select(vec4f(0), membraneGradient(ds.b, u[t].b, later.b), isB));
      ${own === 'query' ? 'all.a += later.a; all.b += later.b;' : ''}
      workgroupBarrier();
      store(lane, part, later);
      workgroupBarrier();
      ${addRows(words, 't * W', {
  setUp: `let start = bitRow(${own === 'query' ? 1 : 0}u, t, head, other0 + o);`, factor: (w) => `bitOf(bits[start + ${w}u], channel)`,
})}
    }`;

const storeRows = (part: number, factor: string): string => `for (var t = 0u; t < T; t++) {
    for (var r = 0u; r < 4u; r++) {
      let row = own0 + 4u * quad + r;
      let at = (((t * uniforms.batch + b) * uniforms.length + row) * 3u + ${part}u) * uniforms.heads * K + h * K;
      for (var w = 0u; w < W; w++) {
        if (row < uniforms.length && 32u * w + channel < K) { dqkv[at + 32u * w + channel] = sum[t * W + w][r]${factor}; }
      }
    }
  }`;

/** Diagonals of a tile: those that reach into the next tile are carried over, so each distance is written once. */
const DISTANCES = `workgroupBarrier();
    store(lane, part, all);
    workgroupBarrier();
    var diagonal = 0.0;
    if (local < ${DIAGONALS}u) {
      for (var o = max(local, ${OTHER - 1}u) - local; o <= min(${OTHER - 1}u, ${DIAGONALS - 1}u - local); o++) {
        let r = local + o - ${OTHER - 1}u;
        diagonal += tile[o * ${VECTORS}u + r / 4u][r % 4u];
      }
      if (local >= ${OTHER}u) { diagonal += carry[local - ${OTHER}u]; }
      let distance = own0 + local - min(own0 + local, other0 + ${OTHER - 1}u);
      if (own0 + local >= other0 + ${OTHER - 1}u && local >= ${OWN - 1}u && distance < uniforms.length) { dDistances[(head * blocks + block) * uniforms.length + distance] = diagonal; }
    }
    workgroupBarrier();
    if (local < ${OWN - 1}u) { carry[local] = diagonal; }`;

const GAIN = `var gained = 0.0;
  for (var i = 0u; i < T * W; i++) {
    let first = own0 + 4u * quad;
    gained += dot(sum[i], vec4f(${range(4).map((r) => `bitOf(bits[bitRow(0u, i / W, head, first + ${r}u) + i % W], channel)`).join(', ')}));
  }
  gained = total(gained, local);
  if (local == 0u) { dGains[head * blocks + block] = gained; }`;

function pairCode(sizes: AttentionSizes, own: OwnRows, alignment: Alignment | null): string {
  const isQuery = own === 'query';
  const teacher = alignment === null ? [] : ['teacherQuery', 'teacherKey'];
  const mine = teacher.slice(isQuery ? 0 : 1, isQuery ? 1 : 2);
  const lanes = teacher.slice(isQuery ? 1 : 0, isQuery ? 2 : 1);
  return `${tileCode(own, { own: [...(isQuery ? ['dValues'] : []), ...mine], lanes: [...(isQuery ? [] : ['dValues']), ...lanes] })}${spikingCode(sizes, own)}${BIT_CODE}
${isQuery ? `${DOT_BITS}${overGroup('total', 'f32')}var<workgroup> carry: array<f32, ${OWN}>;` : OWN_BITS}
${pairTerms(own)}${alignment === null ? '' : alignmentCode(alignment)}
${openTiles(own, 'var sum: array<vec4f, T * W>;')}
    ${alignment === null ? chargePairs('') : FIRED}
    let base = terms(0u, head, row, other);
    ${alignment === null ? 'let extra = base;' : alignPairs(alignment, own)}
    ${isQuery ? 'var all = Pair(vec4f(0), vec4f(0));' : ''}
    ${pairSteps(sizes.words, own)}
    ${isQuery ? DISTANCES : ''}
  }
  ${storeRows(isQuery ? 0 : 1, ' * gain[h]')}
  ${isQuery ? GAIN : ''}
}`;
}

/** dv: rows of dvalues added up where the attention spike fired. */
function valueCode(sizes: AttentionSizes): string {
  const { headWidth } = sizes;
  const addFired = addRows(sizes.words, 't * W', {
    setUp: 'let start = ((t * uniforms.batch + b) * uniforms.length + other0 + o) * uniforms.heads * K + h * K;',
    factor: (w) => (headWidth >= 32 * w + 32 ? `dValues[start + ${32 * w}u + channel]` : `select(0.0, dValues[start + min(${32 * w}u + channel, K - 1u)], ${32 * w}u + channel < K)`),
  });
  return `${tileCode('key', { own: [], lanes: [] })}${spikingCode(sizes, 'key')}
${openTiles('key', 'var sum: array<vec4f, T * W>;')}
    ${chargePairs(`workgroupBarrier();
      store(lane, part, spikes);
      workgroupBarrier();
      ${addFired}`)}
  }
  ${storeRows(2, '')}
}`;
}

/** One workgroup's distances are written up to its last query; later blocks have more. */
const DISTANCE_SUMS = `@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) at: vec3u, @builtin(num_workgroups) spread: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (at.x + at.y * spread.x) * 64u + local;
  if (i >= uniforms.heads * uniforms.maxDistance) { return; }
  let distance = i % uniforms.maxDistance;
  let blocks = (uniforms.length + ${OWN - 1}u) / ${OWN}u;
  var sum = 0.0;
  for (var b = 0u; b < uniforms.batch && distance < uniforms.length; b++) {
    for (var block = distance / ${OWN}u; block < blocks; block++) { sum += dDistances[((b * uniforms.heads + i / uniforms.maxDistance) * blocks + block) * uniforms.length + distance]; }
  }
  dDistanceBias[i] = sum;
}`;

const GAIN_SUMS = `@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) at: vec3u, @builtin(local_invocation_index) local: u32) {
  let h = at.x * 64u + local;
  if (h >= uniforms.heads) { return; }
  let blocks = (uniforms.length + ${OWN - 1}u) / ${OWN}u;
  var sum = 0.0;
  for (var b = 0u; b < uniforms.batch; b++) {
    for (var block = 0u; block < blocks; block++) { sum += dGains[(b * uniforms.heads + h) * blocks + block]; }
  }
  dGain[h] = sum;
}`;

/** Gradients of qkv (T, B, L, 3D), gain (H) and distance current (H, R). */
export function attentionGradients(gpu: GpuDispatcher, given: BackwardTensors, of: { readonly sizes: AttentionSizes; readonly alignment: Alignment | null }): TensorInfo[] {
  const { sizes, alignment } = of;
  const { timeSteps, batch, length, width, heads, maxDistance } = sizes;
  const dqkv = gpu.makeOutput([timeSteps, batch, length, 3 * width]);
  const partial = { gains: gpu.makeOutput([blocksOf(sizes)]), distances: gpu.makeOutput([blocksOf(sizes), length]) };
  const call = cutSequences(sizes, (some) => spreadGroups(blocksOf(some)));
  const spiking = [['bits', 'read', 'u32'], ['gain', 'read', 'f32'], ['distanceBias', 'read', 'f32'], ['dValues', 'read', 'f32']] as const;
  const teacher = alignment === null ? [] : [['teacherQuery', 'read', 'f32'], ['teacherKey', 'read', 'f32']] as const;
  const sides = [given.bits, given.gain, given.distanceBias, given.dValues];
  const pairSides = [...sides, given.rows, ...(alignment === null ? [] : [alignment.query, alignment.key])];
  const { bits, values, qkv } = sequenceLayouts(sizes);
  const sideLayouts = [bits, null, null, values];
  const ofTeacher = alignment === null ? [] : [[1, length * alignment.teacher.width], [1, length * alignment.teacher.width]] as const;
  const pairLayouts: readonly (Layout | null)[] = [...sideLayouts, [alignment === null ? 1 : 6, heads * length], ...ofTeacher, qkv];
  const blocks = blocksOf(sizes) / batch;
  const result = ['dqkv', 'read_write', 'f32'] as const;
  const tensors = [...spiking, ['rows', 'read', 'f32'] as const, ...teacher, result];
  runCut(gpu, {
    name: 'BispikAttentionGradQuery', tensors: [...tensors, ['dGains', 'read_write', 'f32'], ['dDistances', 'read_write', 'f32']],
    uniforms: SIZE_UNIFORMS, code: pairCode(sizes, 'query', alignment),
  }, { ...call, tensors: [...pairSides, dqkv, partial.gains, partial.distances], layouts: [...pairLayouts, [1, blocks], [1, blocks * length]] });
  runCut(gpu, { name: 'BispikAttentionGradKey', tensors, uniforms: SIZE_UNIFORMS, code: pairCode(sizes, 'key', alignment) }, { ...call, tensors: [...pairSides, dqkv], layouts: pairLayouts });
  runCut(gpu, { name: 'BispikAttentionGradValue', tensors: [...spiking, result], uniforms: SIZE_UNIFORMS, code: valueCode(sizes) }, { ...call, tensors: [...sides, dqkv], layouts: [...sideLayouts, qkv] });
  const dGain = gpu.makeOutput([heads]);
  const dDistanceBias = gpu.makeOutput([heads, maxDistance]);
  gpu.run({ name: 'BispikAttentionGradGain', tensors: [['dGains', 'read', 'f32'], ['dGain', 'read_write', 'f32']], uniforms: SIZE_UNIFORMS, code: GAIN_SUMS },
    { uniforms: sizeNumbers(sizes), tensors: [partial.gains, dGain], workgroups: spreadGroups(Math.ceil(heads / 64)) });
  gpu.run({ name: 'BispikAttentionGradDistance', tensors: [['dDistances', 'read', 'f32'], ['dDistanceBias', 'read_write', 'f32']], uniforms: SIZE_UNIFORMS, code: DISTANCE_SUMS },
    { uniforms: sizeNumbers(sizes), tensors: [partial.distances, dDistanceBias], workgroups: spreadGroups(Math.ceil((heads * maxDistance) / 64)) });
  gpu.release(partial.gains);
  gpu.release(partial.distances);
  return [dqkv, dGain, dDistanceBias];
}
