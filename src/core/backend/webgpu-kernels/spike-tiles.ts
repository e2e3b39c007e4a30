import type { CutCall } from './cut.js';
import type { GpuKernel, UniformType } from './dispatch.js';
import { spreadGroups } from './dispatch.js';

/**
 * WGSL of matrix products of which one input is spikes, 32 in a word: out (P, Q) = Σ_k s·m (k, Q). On a GPU a dense product with the spikes
 * unpacked in registers is faster than going through lists of those that fired: every invocation does the same.
 */

/** How a product is shared out among workgroups. */
export interface SpikeTilePlan {
  /** Rows and columns of the result per workgroup. */ readonly side: 32 | 128;
  /** The terms of each result are summed in so many parts, one after the other in memory. */ readonly parts: number;
}

/** Workgroups that keep a large device busy. */
const BUSY_GROUPS = 256;
const MOST_PARTS = 32;
/** Fewer terms than this are not worth a part of their own. */
const LEAST_TERMS = 512;
/** Rows of m in workgroup memory at once; words hold whole multiples of them. */
const STEP = 16;

/** Large tiles read least; few of them are helped by summing in parts. Depends on the shape only, so the order of the sums does too. */
export function planSpikeTiles({ p, q, k }: { readonly p: number; readonly q: number; readonly k: number }): SpikeTilePlan {
  const side = p > 64 && q > 64 ? 128 : 32;
  const tiles = Math.ceil(p / side) * Math.ceil(q / side);
  return { side, parts: Math.max(1, Math.min(Math.ceil(BUSY_GROUPS / tiles), MOST_PARTS, Math.floor(k / LEAST_TERMS))) };
}

/** What the bits of a word are: neighbouring terms of one result's sum (y = s·w), or neighbouring results (dW = sᵀ·dy). */
export type BitDirection = 'terms' | 'results';

const UNIFORMS = ['p', 'q', 'k', 'words', 'tilesQ', 'tiles', 'perPart', 'groups', 'firstPart', 'isResumed'].map((name): readonly [string, UniformType] => [name, 'u32']);
/** Which terms a run adds: of the parts from `firstPart` on, to nothing or, where it is resumed, to what earlier runs stored. */
export interface SpikeTileTerms { readonly firstPart: number; readonly isResumed: boolean }
export const ALL_TERMS: SpikeTileTerms = { firstPart: 0, isResumed: false };

/** Results (p, q), terms of each, and the length of a row of spikes in words. */
export interface SpikeSizes { readonly p: number; readonly q: number; readonly k: number; readonly words: number }

/** Uniforms and workgroups of one run. */
export function spikeTileRun(size: SpikeSizes, { side, parts }: SpikeTilePlan, { firstPart, isResumed }: SpikeTileTerms): ReturnType<CutCall['plan']> {
  const tilesQ = Math.ceil(size.q / side);
  const tiles = tilesQ * Math.ceil(size.p / side);
  return { uniforms: [size.p, size.q, size.k, size.words, tilesQ, tiles, termsPerPart(size.k, parts), tiles * parts, firstPart, Number(isResumed)], workgroups: spreadGroups(tiles * parts) };
}

/** Terms of each part but the last. */
export function termsPerPart(k: number, parts: number): number {
  return 32 * Math.ceil(k / parts / 32);
}

const count = (length: number): number[] => Array.from({ length }, (_, i) => i);
const lines = (items: readonly number[], line: (item: number) => string): string => items.map(line).join('\n');

interface SpikeTile {
  readonly side: 32 | 128;
  readonly direction: BitDirection;
  /** The results begin with a bias per column, which only a product in one part may have. */ readonly hasStart: boolean;
}

/** How the results of a tile are shared out: invocations along a side, their vectors of four results, and their rows. */
function shareOf(side: number): { across: number; fours: number[]; rows: number[]; rowAt: (r: number) => string; columnAt: (h: number) => string } {
  const across = side === 128 ? 16 : 8;
  return {
    across, fours: count(side / across / 4), rows: count(side / across),
    rowAt: (r) => `row_0 + 4u * (y + ${Math.floor(r / 4) * across}u) + ${r % 4}u`,
    columnAt: (h) => `column_0 + 4u * (x + ${h * across}u)`,
  };
}

/** Each invocation has 4 × 4 (side 32) or 8 × 8 (side 128) results in registers and adds their terms in ascending order. */
export function spikeTileKernel(name: string, tile: SpikeTile): GpuKernel {
  const { side, hasStart } = tile;
  const { across, fours, rows, rowAt, columnAt } = shareOf(side);
  const start = (r: number, h: number): string => (hasStart ? `startAt(${columnAt(h)})` : `startOf(uniforms.firstPart + part, ${rowAt(r)}, ${columnAt(h)})`);
  return {
    name: `${name}${side}`,
    tensors: [['spikes', 'read', 'u32'], ['m', 'read', 'f32'], ...(hasStart ? [['bias', 'read', 'f32']] as const : []), ['out', 'read_write', 'f32']],
    uniforms: UNIFORMS,
    code: `${accessCode(tile)}
@compute @workgroup_size(${across * across})
fn main(@builtin(workgroup_id) at: vec3u, @builtin(num_workgroups) spread: vec3u, @builtin(local_invocation_index) local: u32) {
  let group = at.x + at.y * spread.x;
  if (group >= uniforms.groups) { return; }
  let part = group / uniforms.tiles;
  let row_0 = group % uniforms.tiles / uniforms.tilesQ * ${side}u;
  let column_0 = group % uniforms.tiles % uniforms.tilesQ * ${side}u;
  let first = part * uniforms.perPart;
  let end = min(uniforms.k, first + uniforms.perPart);
  let x = local % ${across}u;
  let y = local / ${across}u;
${lines(rows, (r) => lines(fours, (h) => `  var sum_${r}_${h} = ${start(r, h)};`))}
  for (var k = first; k < end; k += ${STEP}u) {
${stepCode(tile)}
  }
${lines(rows, (r) => lines(fours, (h) => `  store(uniforms.firstPart + part, ${rowAt(r)}, ${columnAt(h)}, sum_${r}_${h});`))}
}`,
  };
}

const BIAS_START = `fn startAt(c: u32) -> vec4f {
  let last = uniforms.q - 1u;
  return vec4f(bias[min(c, last)], bias[min(c + 1u, last)], bias[min(c + 2u, last)], bias[min(c + 3u, last)]);
}`;
const STORED_START = `fn startOf(part: u32, row: u32, column: u32) -> vec4f {
  if (uniforms.isResumed == 0u || row >= uniforms.p) { return vec4f(); }
  let at = (part * uniforms.p + row) * uniforms.q + column;
  return vec4f(out[at], out[at + 1u], out[at + 2u], out[at + 3u]); // past the row: columns that are not stored
}`;

/** Workgroup memory, and how global memory is read and written. */
function accessCode({ side, direction, hasStart }: SpikeTile): string {
  return `
var<workgroup> tile: array<vec4f, ${STEP * side / 4}>;
${direction === 'results' ? `var<workgroup> fired: array<u32, ${STEP * side / 32}>;` : ''}
${hasStart ? BIAS_START : STORED_START}
fn readFour(k: u32, end: u32, c: u32) -> vec4f {
  if (k >= end) { return vec4f(); }
  let at = k * uniforms.q + c;
  return vec4f(m[at], m[at + 1u], m[at + 2u], m[at + 3u]); // past the row: columns that are not stored
}
fn store(part: u32, row: u32, column: u32, sum: vec4f) {
  if (row >= uniforms.p) { return; }
  let at = (part * uniforms.p + row) * uniforms.q + column;
  for (var i = 0u; i < 4u; i++) { if (column + i < uniforms.q) { out[at + i] = sum[i]; } }
}`;
}

/** Adds the next terms. */
function stepCode({ side, direction }: SpikeTile): string {
  const { across, fours, rows, rowAt } = shareOf(side);
  const threads = across * across;
  const cells = count(side * STEP / 4 / threads); // vectors of m that each invocation brings
  const isTerms = direction === 'terms';
  return `${lines(cells, (cell) => `    { let c = local + ${cell * threads}u; tile[c] = readFour(k + c / ${side / 4}u, end, column_0 + 4u * (c % ${side / 4}u)); }`)}
${isTerms ? '' : bringWords(side)}
    workgroupBarrier();
${isTerms ? lines(rows, (r) => `    let word_${r} = spikes[min(${rowAt(r)}, uniforms.p - 1u) * uniforms.words + k / 32u] >> (k % 32u);`) : ''}
    for (var i = 0u; i < ${STEP}u; i++) {
${lines(fours, (h) => `      let m_${h} = tile[i * ${side / 4}u + x + ${h * across}u];`)}
${isTerms ? '' : lines(fours, (h) => `      let four_${h} = fired[i * ${side / 32}u + (4u * (y + ${h * across}u)) / 32u] >> (4u * y % 32u);`)}
${lines(rows, (r) => `      let s_${r} = select(0.0, 1.0, (${isTerms ? `word_${r} & (1u << i)` : `four_${Math.floor(r / 4)} & ${1 << (r % 4)}u`}) != 0u);
${lines(fours, (h) => `      sum_${r}_${h} += s_${r} * m_${h};`)}`)}
    }
    workgroupBarrier();`;
}

/** The words of the tile's results for the next terms. */
function bringWords(side: number): string {
  const perRow = side / 32;
  return `    if (local < ${STEP * perRow}u) {
      let word = row_0 / 32u + local % ${perRow}u;
      let k_word = k + local / ${perRow}u;
      fired[local] = select(0u, spikes[min(k_word, uniforms.k - 1u) * uniforms.words + min(word, uniforms.words - 1u)], k_word < end && word < uniforms.words);
    }`;
}
