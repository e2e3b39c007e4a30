import type { AttentionSizes } from './attention-sizes.js';
import { lines, range } from './attention-sizes.js';
import { neuronCode } from './neuron.js';

/**
 * WGSL that the kernels of attention share. A workgroup of 256 has a block of 32 rows of its own (queries, or keys) of one head of one
 * sequence and walks over the rows of the other kind, 64 at a time. While it works on pairs, an invocation has one of the 64 (`lane`) and eight of its
 * own rows (two vectors, `a` and `b`); while it adds up rows, four of its own rows (`quad`) and one channel of each word of 32.
 */

/** Rows of a workgroup's own. */
export const OWN = 32;
/** Rows of the other kind at a time. */
export const OTHER = 64;
/** Vectors from one row of a tile to the next: one more than the row has, so that neighbouring rows lie in different banks. */
const STRIDE = OWN / 4 + 1;

/** Which rows are a workgroup's own. */
export type OwnRows = 'query' | 'key';

/** Constants and functions of spiking attention; reads `bits`, `gain` and `distanceBias`. */
export function spikingCode({ neuron, timeSteps, headWidth, words }: AttentionSizes, own: OwnRows): string {
  const [ownPart, otherPart] = own === 'query' ? [0, 1] : [1, 0];
  return `${neuronCode(neuron, 'vec4f')}
const T = ${timeSteps}u;
const K = ${headWidth}u;
const W = ${words}u;
fn bitRow(part: u32, t: u32, head: u32, row: u32) -> u32 {
  return (((part * T + t) * uniforms.batch * uniforms.heads + head) * uniforms.length + min(row, uniforms.length - 1u)) * W;
}
fn overlap(at: u32, other: array<u32, W>) -> f32 { return f32(${range(words).map((w) => `countOneBits(bits[at + ${w}u] & other[${w}])`).join(' + ')}); }
fn wordsOf(at: u32) -> array<u32, W> { return array<u32, W>(${range(words).map((w) => `bits[at + ${w}u]`).join(', ')}); }
fn countsOf(t: u32, head: u32, row: u32, lane: u32) -> Pair {
  let other = wordsOf(bitRow(${otherPart}u, t, head, lane));
  var counts: Pair;
  for (var n = 0u; n < 4u; n++) {
    counts.a[n] = overlap(bitRow(${ownPart}u, t, head, row + n), other);
    counts.b[n] = overlap(bitRow(${ownPart}u, t, head, row + n + 4u), other);
  }
  return counts;
}
fn biasOf(h: u32, distance: vec4u) -> vec4f {
  var bias: vec4f;
  for (var n = 0u; n < 4u; n++) { bias[n] = distanceBias[h * uniforms.maxDistance + distance[n]]; }
  return bias;
}
`;
}

/** Types and functions of tiles, with or without spikes; `loaded` names the tensors that `own_NAME` and `lanes_NAME` load from. */
export function tileCode(own: OwnRows, loaded: { readonly own: readonly string[]; readonly lanes: readonly string[] }): string {
  const causal = own === 'query' ? '(vec4u(other) <= rows) & (rows < vec4u(uniforms.length))' : '(rows <= vec4u(other)) & vec4<bool>(other < uniforms.length)';
  return `struct Pair { a: vec4f, b: vec4f }
var<workgroup> mine: array<vec4f, ${32 * STRIDE}>;
var<workgroup> tile: array<vec4f, ${OTHER * STRIDE}>;
fn causal(rows: vec4u, other: u32) -> vec4<bool> { return ${causal}; }
fn distances(rows: vec4u, other: u32) -> vec4u { return select(vec4u(0), ${own === 'query' ? 'rows - vec4u(other)' : 'vec4u(other) - rows'}, causal(rows, other)); }
fn dotLanes(start: Pair, channels: u32, lane: u32, part: u32) -> Pair {
  var sum = start;
  for (var four = 0u; four < (channels + 3u) / 4u; four++) {
    let y = tile[four * ${OTHER + 1}u + lane];
    for (var n = 0u; n < 4u; n++) {
      let at = (4u * four + n) * ${STRIDE}u + 2u * part;
      sum.a += mine[at] * y[n];
      sum.b += mine[at + 1u] * y[n];
    }
  }
  return sum;
}
fn store(lane: u32, part: u32, value: Pair) {
  tile[lane * ${STRIDE}u + 2u * part] = value.a;
  tile[lane * ${STRIDE}u + 2u * part + 1u] = value.b;
}
${loaded.own.map(ownLoader).join('')}${loaded.lanes.map(laneLoader).join('')}`;
}

/** 32 channels of the own rows: vectors of four rows, channel by channel; 0 beyond the rows and channels there are. */
const ownLoader = (name: string): string => `fn own_${name}(base: u32, stride: u32, channels: u32, own0: u32, local: u32) {
  let channel = local % 32u;
  let quad = local / 32u;
  var value = vec4f(0);
  for (var r = 0u; r < 4u; r++) {
    let row = own0 + 4u * quad + r;
    if (channel < channels && row < uniforms.length) { value[r] = ${name}[base + row * stride + channel]; }
  }
  mine[channel * ${STRIDE}u + quad] = value;
}
`;

/** 32 channels of the other rows, into the tile: vectors of four channels. */
const laneLoader = (name: string): string => `fn lanes_${name}(base: u32, stride: u32, channels: u32, other0: u32, local: u32) {
  for (var n = local; n < ${OTHER * 8}u; n += 256u) {
    let four = n % 8u;
    let row = other0 + n / 8u;
    var value = vec4f(0);
    for (var c = 0u; c < 4u; c++) {
      if (4u * four + c < channels && row < uniforms.length) { value[c] = ${name}[base + row * stride + 4u * four + c]; }
    }
    tile[four * ${OTHER + 1}u + n / 8u] = value;
  }
}
`;

/** Opens the entry point and the loop over tiles; the blocks with the longest way come first. */
export function openTiles(own: OwnRows, setUp: string): string {
  const [block, first, last] = own === 'query'
    ? ['blocks - 1u - group % blocks', '0u', `min(own0 + ${OWN}u, uniforms.length)`]
    : ['group % blocks', 'own0', 'uniforms.length'];
  return `@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) at: vec3u, @builtin(num_workgroups) spread: vec3u, @builtin(local_invocation_index) local: u32) {
  let group = at.x + at.y * spread.x;
  let blocks = (uniforms.length + ${OWN - 1}u) / ${OWN}u;
  if (group >= blocks * uniforms.batch * uniforms.heads) { return; }
  let head = group / blocks;
  let block = ${block};
  let h = head % uniforms.heads;
  let b = head / uniforms.heads;
  let own0 = block * ${OWN}u;
  let lane = local % ${OTHER}u;
  let part = local / ${OTHER}u;
  let row = own0 + 8u * part;
  let rowsA = vec4u(row, row + 1u, row + 2u, row + 3u);
  let rowsB = rowsA + vec4u(4);
  let channel = local % 32u;
  let quad = local / 32u;
  ${setUp}
  for (var other0 = ${first}; other0 < ${last}; other0 += ${OTHER}u) {
    let other = other0 + lane;
    let isA = causal(rowsA, other);
    let isB = causal(rowsB, other);
    let others = min(${OTHER}u, ${last} - other0);
`;
}

/** Workgroups that `openTiles` expects. */
export function blocksOf({ batch, heads, length }: { readonly batch: number; readonly heads: number; readonly length: number }): number {
  return batch * heads * Math.ceil(length / OWN);
}

/**
 * Membranes `u[t]` of every pair, with `eachStep` done at each time step, where `spikes` are those of its pairs, 0 for future keys. Loops over time steps stay
 * loops: what they keep from step to step is touched once per tile and step, and the code of a kernel is several times shorter.
 */
export function chargePairs(eachStep: string): string {
  return `let biases = Pair(biasOf(h, distances(rowsA, other)), biasOf(h, distances(rowsB, other)));
    var u: array<Pair, T>;
    var kept = Pair(vec4f(0), vec4f(0));
    for (var t = 0u; t < T; t++) {
      let counts = countsOf(t, head, row, other);
      u[t] = Pair(counts.a * gain[h] + biases.a + kept.a, counts.b * gain[h] + biases.b + kept.b);
      let spikes = Pair(select(vec4f(0), spikeOf(u[t].a), isA), select(vec4f(0), spikeOf(u[t].b), isB));
      kept = Pair(carried(u[t].a, spikes.a), carried(u[t].b, spikes.b));
      ${eachStep}
    }`;
}

/** Adds the rows of a tile, weighted by a factor per row and channel, to `sum[first + w]`. `factors` gives the factor of row `other0 + o` in word w. */
export function addRows(words: number, first: string, factors: { readonly setUp: string; readonly factor: (w: number) => string }): string {
  return `${lines(range(words), (w) => `var sum${w} = sum[${first} + ${w}u];`)}
    for (var o = 0u; o < others; o++) {
      let weight = tile[o * ${STRIDE}u + quad];
      ${factors.setUp}
      ${lines(range(words), (w) => `sum${w} += weight * ${factors.factor(w)};`)}
    }
    ${lines(range(words), (w) => `sum[${first} + ${w}u] = sum${w};`)}`;
}

/** Sum over the lanes of what each of the own rows has in `value`, in `result`, for the first 32 invocations. */
export const overLanes = (value: string, result: string, combine = 'all + one'): string => `workgroupBarrier();
  store(lane, part, ${value});
  workgroupBarrier();
  var ${result} = 0.0;
  if (local < ${OWN}u) {
    ${result} = tile[local / 4u][local % 4u];
    for (var l = 1u; l < ${OTHER}u; l++) { let all = ${result}; let one = tile[l * ${STRIDE}u + local / 4u][local % 4u]; ${result} = ${combine}; }
  }
`;
