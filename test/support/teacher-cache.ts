import type { SampledRows } from '../../src/core/corpus/batches.js';
import { createRandom } from '../../src/core/corpus/random.js';
import type { CacheHeader } from '../../src/core/teacher-cache/cache.js';
import type { CacheIdentity } from '../../src/core/teacher-cache/identity.js';

/** Identity of a cache for the tiny models. */
export function tinyIdentity(change: Partial<CacheIdentity> = {}): CacheIdentity {
  return { teacherSha256: 'a'.repeat(64), tokenizerSha256: 'b'.repeat(64), corpusSha256: 'c'.repeat(64), context: 6, temperature: 2, samples: 5, ...change };
}

/** Header of such a cache. */
export function tinyHeader(change: Partial<CacheIdentity> = {}): CacheHeader {
  return { identity: tinyIdentity(change), vocabSize: 13, teacherNll: 1.5, made: { by: 'a test' } };
}

/** Random bytes whose ids lie below 13: (6, 5) uint16 ids, (6, 5) uint16 weights, (6) float32. */
export function randomRecord(seed: number): { bytes: Uint8Array; ids: number[]; units: number[]; entropy: number[] } {
  const random = createRandom(seed);
  const ids = Array.from({ length: 30 }, () => random.integer(13));
  const units = Array.from({ length: 30 }, () => random.integer(65_536));
  const entropy = Array.from({ length: 6 }, () => Math.fround(random.next()));
  const view = new DataView(new ArrayBuffer(144));
  ids.forEach((id, i) => { view.setUint16(2 * i, id, true); });
  units.forEach((unit, i) => { view.setUint16(60 + 2 * i, unit, true); });
  entropy.forEach((nats, i) => { view.setFloat32(120 + 4 * i, nats, true); });
  return { bytes: new Uint8Array(view.buffer), ids, units, entropy };
}

/** Row `row` of what a cache gave, over all ids of a vocabulary. */
export function denseRow({ samples, ids, weights }: SampledRows, row: number, vocabulary: number): Float64Array {
  const dense = new Float64Array(vocabulary);
  for (let n = row * samples; n < (row + 1) * samples; n++) dense[ids[n] as number] = (dense[ids[n] as number] as number) + (weights[n] as number);
  return dense;
}
