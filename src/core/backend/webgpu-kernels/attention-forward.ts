import type { TensorInfo } from '@tensorflow/tfjs-core';

import type { AttentionSizes } from './attention-sizes.js';
import { SIZE_UNIFORMS, cutSequences, lines, range, sequenceLayouts } from './attention-sizes.js';
import { OWN, blocksOf, spikingCode } from './attention-tiles.js';
import { runCut } from './cut.js';
import type { GpuDispatcher } from './dispatch.js';
import { spreadGroups } from './dispatch.js';

/** Words of 32 keys that a workgroup of `BispikAttentionValues` has at a time, one per 32 invocations. */
const WORDS = 8;

const openWords = (count: string): string => `@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) at: vec3u, @builtin(num_workgroups) spread: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (at.x + at.y * spread.x) * 64u + local;
  let bh = uniforms.batch * uniforms.heads;
  if (i >= ${count}) { return; }
`;

/** Spikes of queries, keys and values as bits along the channels: (3, T, B·H, L, W). */
export function packAlongChannels(gpu: GpuDispatcher, qkv: TensorInfo, sizes: AttentionSizes): TensorInfo {
  const { timeSteps, batch, heads, length, words, headWidth } = sizes;
  const bits = gpu.makeOutput([3, timeSteps, batch * heads, length, words], 'int32');
  const layouts = sequenceLayouts(sizes);
  runCut(gpu, {
    name: 'BispikPackAttention', tensors: [['qkv', 'read', 'f32'], ['bits', 'write', 'u32']], uniforms: SIZE_UNIFORMS,
    code: `const T = ${timeSteps}u; const K = ${headWidth}u; const W = ${words}u;
${openWords('3u * T * bh * uniforms.length * W')}
  let word = i % W; let row = i / W % uniforms.length; let head = i / W / uniforms.length % bh;
  let t = i / W / uniforms.length / bh % T; let part = i / W / uniforms.length / bh / T;
  var found = 0u;
  let first = (((t * uniforms.batch + head / uniforms.heads) * uniforms.length + row) * 3u + part) * uniforms.heads * K + head % uniforms.heads * K;
  for (var c = 32u * word; c < min(K, 32u * word + 32u); c++) { found |= select(0u, 1u << (c % 32u), qkv[first + c] != 0.0); }
  bits[i] = found;
}`,
  }, {
    tensors: [qkv, bits], layouts: [layouts.qkv, layouts.bits],
    ...cutSequences(sizes, (some) => spreadGroups(Math.ceil((3 * timeSteps * some.batch * heads * length * words) / 64))),
  });
  return bits;
}

/** Spikes of values as bits along the keys: (T, B·H, ⌈L/32⌉, 32·W). */
function packAlongKeys(gpu: GpuDispatcher, bits: TensorInfo, sizes: AttentionSizes): TensorInfo {
  const { timeSteps, batch, heads, length, words } = sizes;
  const valueBits = gpu.makeOutput([timeSteps, batch * heads, Math.ceil(length / 32), 32 * words], 'int32');
  const layouts = sequenceLayouts(sizes);
  runCut(gpu, {
    name: 'BispikPackValues', tensors: [['bits', 'read', 'u32'], ['valueBits', 'write', 'u32']], uniforms: SIZE_UNIFORMS,
    code: `const T = ${timeSteps}u; const W = ${words}u; const C = 32u * W;
${openWords('T * bh * ((uniforms.length + 31u) / 32u) * C')}
  let rows = (uniforms.length + 31u) / 32u;
  let c = i % C; let word = i / C % rows; let head = i / C / rows % bh; let t = i / C / rows / bh;
  var found = 0u;
  for (var row = 32u * word; row < min(uniforms.length, 32u * word + 32u); row++) {
    found |= ((bits[(((2u * T + t) * bh + head) * uniforms.length + row) * W + c / 32u] >> (c % 32u)) & 1u) << (row % 32u);
  }
  valueBits[i] = found;
}`,
  }, {
    tensors: [bits, valueBits], layouts: [layouts.bits, layouts.valueBits],
    ...cutSequences(sizes, (some) => spreadGroups(Math.ceil((timeSteps * some.batch * heads * Math.ceil(length / 32) * 32 * words) / 64))),
  });
  return valueBits;
}

/** Neurons of four keys: their spikes into bits n … n + 3 of `a[t]`. */
const FIRE_FOUR = `var kept = vec4f(0);
        for (var t = 0u; t < T; t++) {
          let counts = vec4f(${range(4).map((n) => `overlap(bitRow(1u, t, head, keys[${n}]), q[t])`).join(', ')});
          let u = counts * gain[h] + bias + kept;
          let s = select(vec4f(0), spikeOf(u), isPast);
          kept = carried(u, s);
          a[t] |= dot(vec4u(s), vec4u(1, 2, 4, 8)) << n;
        }`;

/** Neurons of a query and its next 32 keys. */
const FIRE_WORD = `for (var n = 0u; n < 32u; n += 4u) {
      let key = j0 + 32u * quad + n;
      if (key > i || i >= uniforms.length) { break; }
      let keys = vec4u(key, key + 1u, key + 2u, key + 3u);
      let isPast = keys <= vec4u(i);
      let bias = biasOf(h, select(vec4u(0), vec4u(i) - keys, isPast));
      ${FIRE_FOUR}
    }`;

/** Adds the bits that the attention spikes of four queries and a channel's values share, over 32 keys. */
const addShared = (words: number): string => `for (var t = 0u; t < T; t++) {
        let first = (t * ${WORDS}u + k) * 32u + 4u * quad;
        let four = vec4u(fired[first], fired[first + 1u], fired[first + 2u], fired[first + 3u]);
        let shared0 = ((t * uniforms.batch * uniforms.heads + head) * rows + j0 / 32u + k) * ${32 * words}u + channel;
        ${lines(range(words), (w) => `sum[t * W + ${w}u] += countOneBits(four & vec4u(valueBits[shared0 + ${32 * w}u]));`)}
      }`;

/** Writes the values, and the counts once the eight shares of each query are added up. */
const WRITE_SUMS = `for (var t = 0u; t < T; t++) {
    for (var r = 0u; r < 4u; r++) {
      let row = own0 + 4u * quad + r;
      let start = ((t * uniforms.batch + b) * uniforms.length + row) * uniforms.heads * K + h * K;
      for (var w = 0u; w < W; w++) {
        if (row < uniforms.length && 32u * w + channel < K) { values[start + 32u * w + channel] = f32(sum[t * W + w][r]); }
      }
    }
  }
  workgroupBarrier();
  fired[local] = spikes;
  workgroupBarrier();
  if (local < 32u && i < uniforms.length) {
    for (var k = 1u; k < ${WORDS}u; k++) { spikes += fired[k * 32u + local]; }
    counts[head * uniforms.length + i] = f32(spikes);
  }`;

/**
 * Each invocation charges the neurons of one query with 32 keys and keeps their spikes as one word per time step; the words of all meet in workgroup memory,
 * where a value is the number of bits that a word and the bits of the values along the keys have in common.
 */
function valuesCode(sizes: AttentionSizes): string {
  return `struct Pair { a: vec4f, b: vec4f }
${spikingCode(sizes, 'query')}
var<workgroup> fired: array<u32, T * ${WORDS * 32}>;
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) at: vec3u, @builtin(num_workgroups) spread: vec3u, @builtin(local_invocation_index) local: u32) {
  let group = at.x + at.y * spread.x;
  let blocks = (uniforms.length + ${OWN - 1}u) / ${OWN}u;
  if (group >= blocks * uniforms.batch * uniforms.heads) { return; }
  let head = group / blocks;
  let own0 = (blocks - 1u - group % blocks) * ${OWN}u;
  let h = head % uniforms.heads;
  let b = head / uniforms.heads;
  let quad = local / 32u;
  let channel = local % 32u;
  let i = own0 + channel;
  let end = min(own0 + ${OWN}u, uniforms.length);
  let rows = (uniforms.length + 31u) / 32u;
  var q: array<array<u32, W>, T>;
  var sum: array<vec4u, T * W>;
  for (var t = 0u; t < T; t++) { q[t] = wordsOf(bitRow(0u, t, head, i)); }
  var spikes = 0u;
  for (var j0 = 0u; j0 < end; j0 += ${32 * WORDS}u) {
    var a = array<u32, T>(); // without a value it would keep that of the turn before on SwiftShader
    ${FIRE_WORD}
    workgroupBarrier();
    for (var t = 0u; t < T; t++) {
      spikes += countOneBits(a[t]);
      fired[(t * ${WORDS}u + quad) * 32u + channel] = a[t];
    }
    workgroupBarrier();
    for (var k = 0u; k < min(${WORDS}u, (end - j0 + 31u) / 32u); k++) {
      ${addShared(sizes.words)}
    }
  }
  ${WRITE_SUMS}
}`;
}

/** Values (T, B, L, D) and spikes of each query (B, H, L), all of them whole numbers. `bits` of `packAlongChannels`. */
export function attendWithSpikes(gpu: GpuDispatcher, given: { readonly gain: TensorInfo; readonly distanceBias: TensorInfo; readonly bits: TensorInfo }, sizes: AttentionSizes): [values: TensorInfo, counts: TensorInfo] {
  const { timeSteps, batch, length, width, heads } = sizes;
  const valueBits = packAlongKeys(gpu, given.bits, sizes);
  const values = gpu.makeOutput([timeSteps, batch, length, width]);
  const counts = gpu.makeOutput([batch, heads, length]);
  const layouts = sequenceLayouts(sizes);
  runCut(gpu, {
    name: 'BispikAttentionValues',
    tensors: [
      ['bits', 'read', 'u32'], ['gain', 'read', 'f32'], ['distanceBias', 'read', 'f32'], ['valueBits', 'read', 'u32'],
      ['values', 'write', 'f32'], ['counts', 'read_write', 'f32'],
    ],
    uniforms: SIZE_UNIFORMS, code: valuesCode(sizes),
  }, {
    tensors: [given.bits, given.gain, given.distanceBias, valueBits, values, counts],
    layouts: [layouts.bits, null, null, layouts.valueBits, layouts.values, [1, heads * length]], ...cutSequences(sizes, (some) => spreadGroups(blocksOf(some))),
  });
  gpu.release(valueBits);
  return [values, counts];
}
