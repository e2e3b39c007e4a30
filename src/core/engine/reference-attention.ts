/* eslint-disable max-params -- a kernel takes what its WebAssembly twin takes: numbers, in the order of the contract. */
import type { MemoryViews, ReferenceKernel } from './reference-memory.js';
import { at, countBits, firedChannels, hasFired } from './reference-memory.js';
import { carriedMembrane } from './reference-neurons.js';

const { fround } = Math;

const PAGE_POSITIONS = 64;
const PAGE_ROW_BYTES = 8 * PAGE_POSITIONS;

/** One layer of the cache of a sequence: words [key, value][heads][timeSteps][headWords][64 positions] in every page. */
interface LayerCache {
  readonly heads: number;
  readonly timeSteps: number;
  readonly headWords: number;
  readonly pageTable: number;
  readonly layerOffset: number;
}

/** Which bits of a position. */
interface CacheRow {
  readonly kind: 'key' | 'value';
  readonly head: number;
  readonly t: number;
}

/** Address of word 0 of a head's key or value at a position; its next words are `PAGE_ROW_BYTES` apart. */
function cacheAddress(memory: MemoryViews, cache: LayerCache, row: CacheRow, position: number): number {
  const page = at(memory.u32, (cache.pageTable >>> 2) + Math.floor(position / PAGE_POSITIONS));
  const index = ((row.kind === 'key' ? 0 : cache.heads) + row.head) * cache.timeSteps + row.t;
  return page + cache.layerOffset + index * cache.headWords * PAGE_ROW_BYTES + 8 * (position % PAGE_POSITIONS);
}

/** Bits first … first + width − 1 of a vector, moved to bit 0 and followed by zeros up to a whole word: halves of 32 bits. */
function headBits(memory: MemoryViews, vector: number, head: { readonly first: number; readonly width: number }): Uint32Array {
  const halves = new Uint32Array(2 * Math.ceil(head.width / 64));
  for (let c = 0; c < head.width; c++) {
    if (hasFired(memory, vector, head.first + c)) halves[c >>> 5] = at(halves, c >>> 5) | (1 << (c & 31));
  }
  return halves;
}

/** @see EngineKernels.storeHeads */
export const storeHeads: ReferenceKernel<'storeHeads'> = (
  memory, bits, words, tokens, timeSteps, start, headFrom, headTo, heads, headWidth, dWords, pageTable, layerOffset) => {
  const cache = { heads, timeSteps, headWords: Math.ceil(headWidth / 64), pageTable, layerOffset };
  const store = (vector: number, row: CacheRow, position: number): void => {
    const address = cacheAddress(memory, cache, row, position);
    headBits(memory, vector, { first: row.head * headWidth, width: headWidth }).forEach((half, index) => {
      memory.u32[((address + (index >>> 1) * PAGE_ROW_BYTES) >>> 2) + (index & 1)] = half;
    });
  };
  for (let v = 0; v < tokens * timeSteps; v++) {
    const keys = bits + 8 * (v * words + dWords);
    const position = start + Math.floor(v / timeSteps);
    for (let head = headFrom; head < headTo; head++) {
      store(keys, { kind: 'key', head, t: v % timeSteps }, position);
      store(keys + 8 * dWords, { kind: 'value', head, t: v % timeSteps }, position);
    }
  }
};

/** popcount(query AND key). */
function overlap(memory: MemoryViews, query: Uint32Array, key: number): number {
  let count = 0;
  for (let half = 0; half < query.length; half++) {
    count += countBits(at(query, half) & at(memory.u32, ((key + (half >>> 1) * PAGE_ROW_BYTES) >>> 2) + (half & 1)));
  }
  return count;
}

/** Adds a value's bits to the sums from the given index on. */
function addValue(memory: MemoryViews, value: number, target: { readonly sum: number; readonly headWords: number }): void {
  for (let word = 0; word < target.headWords; word++) {
    for (const channel of firedChannels(memory, value + word * PAGE_ROW_BYTES, 1)) {
      const sum = target.sum + 64 * word + channel;
      memory.i32[sum] = at(memory.i32, sum) + 1;
    }
  }
}

/** A new token seen by one head: its queries and the start of its sums, per time step. */
interface HeadQuery {
  readonly head: number;
  readonly queries: readonly Uint32Array[];
  readonly sums: readonly number[];
  readonly threshold: number;
  readonly decay: number;
  readonly reset: number;
}

/** The attention neuron of one query and one key through all time steps; returns its spikes. */
function attendKey(memory: MemoryViews, cache: LayerCache, query: HeadQuery, key: { readonly position: number; readonly bias: number }): number {
  const { head } = query;
  let [spikes, carried] = [0, 0];
  for (let t = 0; t < cache.timeSteps; t++) {
    const count = overlap(memory, query.queries[t] as Uint32Array, cacheAddress(memory, cache, { kind: 'key', head, t }, key.position));
    const current = fround(count + key.bias);
    const u = t === 0 ? current : fround(current + carried);
    const fired = u >= query.threshold;
    carried = carriedMembrane(u, fired, query);
    if (!fired) continue;
    spikes++;
    const value = cacheAddress(memory, cache, { kind: 'value', head, t }, key.position);
    addValue(memory, value, { sum: at(query.sums, t), headWords: cache.headWords });
  }
  return spikes;
}

/** @see EngineKernels.attend */
export const attend: ReferenceKernel<'attend'> = (
  memory, bits, words, tokens, timeSteps, start, headFrom, headTo, heads, headWidth, dWords, pageTable, layerOffset, reversed,
  biasStride, contextLength, thresholds, decay, reset, sums) => {
  const cache = { heads, timeSteps, headWords: Math.ceil(headWidth / 64), pageTable, layerOffset };
  let spikes = 0;
  for (let head = headFrom; head < headTo; head++) {
    const first = head * headWidth;
    for (let n = 0; n < tokens; n++) {
      const vectors = Array.from({ length: timeSteps }, (_, t) => n * timeSteps + t);
      const query: HeadQuery = {
        head, reset, decay: fround(decay), threshold: at(memory.f32, (thresholds >>> 2) + head),
        queries: vectors.map((v) => headBits(memory, bits + 8 * v * words, { first, width: headWidth })),
        sums: vectors.map((v) => (sums >>> 2) + 64 * v * dWords + first),
      };
      for (const sum of query.sums) memory.i32.fill(0, sum, sum + headWidth);
      const i = start + n;
      for (let j = 0; j <= i; j++) {
        const bias = at(memory.f32, (reversed >>> 2) + head * biasStride + contextLength - 1 - i + j);
        spikes += attendKey(memory, cache, query, { position: j, bias });
      }
    }
  }
  return spikes;
};
