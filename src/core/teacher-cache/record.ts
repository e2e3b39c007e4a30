import type { SampledRows } from '../corpus/batches.js';
import { FormatError } from '../errors.js';
import { WEIGHT_UNITS } from './sample.js';

/** Largest vocabulary whose ids fit two bytes. */
export const MAX_CACHED_VOCABULARY = 65_536;

/** Sizes of a record: what the cache holds of one window of L tokens. */
export interface RecordShape {
  /** L */ readonly context: number;
  /** N */ readonly samples: number;
}

/** A record's parts, views of its bytes: ids (L, N) uint16, weights (L, N) uint16 in units of 1/65535, entropy (L) float32, nats; little-endian. */
export interface RecordViews {
  readonly ids: Uint16Array;
  readonly units: Uint16Array;
  readonly entropy: Float32Array;
}

/** 4N + 4 bytes a token. */
export function recordBytes({ context, samples }: RecordShape): number {
  return context * (4 * samples + 4);
}

/** Views of a record that lies at a multiple of four in its buffer. */
export function viewRecord(bytes: Uint8Array, { context, samples }: RecordShape): RecordViews {
  const { buffer, byteOffset: at } = bytes;
  const count = context * samples;
  return {
    ids: new Uint16Array(buffer, at, count), units: new Uint16Array(buffer, at + 2 * count, count), entropy: new Float32Array(buffer, at + 4 * count, context),
  };
}

/** Unpacks records into rows of a batch. @throws FormatError when an id lies outside the vocabulary. @param what names the cache in messages. */
export function unpackRecords(records: readonly Uint8Array[], shape: RecordShape & { readonly vocabSize: number }, what: string): SampledRows {
  const { context, samples, vocabSize } = shape;
  const perWindow = context * samples;
  const rows = {
    samples, ids: new Int32Array(records.length * perWindow), weights: new Float32Array(records.length * perWindow), entropy: new Float32Array(records.length * context),
  };
  records.forEach((record, window) => {
    const { ids, units, entropy } = viewRecord(record, shape);
    rows.ids.set(ids, window * perWindow);
    for (let i = 0; i < perWindow; i++) rows.weights[window * perWindow + i] = (units[i] as number) / WEIGHT_UNITS;
    rows.entropy.set(entropy, window * context);
  });
  const foreign = rows.ids.find((id) => id >= vocabSize);
  if (foreign !== undefined) throw new FormatError(`${what} holds token ${foreign}, outside the teacher's vocabulary of ${vocabSize}`);
  return rows;
}
