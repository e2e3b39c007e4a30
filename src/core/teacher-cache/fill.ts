import { setImmediate as nextTurn } from 'node:timers/promises';

import * as tf from '@tensorflow/tfjs-core';

import { createRandom, deriveSeed } from '../corpus/random.js';
import { Interrupted, NumericError } from '../errors.js';
import { readoutLogits } from '../ops/readout.js';
import { streamTeacher } from '../teacher/forward.js';
import type { Teacher } from '../teacher/parameters.js';
import type { RunContext } from '../types.js';
import type { CacheIdentity } from './identity.js';
import { identityHash } from './identity.js';
import type { WindowRecord } from './part-file.js';
import { writePart } from './part-file.js';
import { recordBytes, viewRecord } from './record.js';
import { sampleRows } from './sample-rows.js';

/** Seed of all sampling: not a run's, so that runs of every seed share a cache; a window's sample depends on its start alone. */
const SAMPLING_SEED = 0x7eac4e5;
const VALUES_PER_PASS = 4 * 2 ** 20;
/** Records of a part, so that a killed build loses little [bytes]. */
const PART_BYTES = 8 * 2 ** 20;

/** Windows that pass through the teacher together. */
export function windowsOfPass(context: number, vocabSize: number): number {
  return Math.max(1, Math.floor(VALUES_PER_PASS / (context * vocabSize)));
}

/** What a cache is filled from. */
export interface FillOptions {
  readonly folder: string;
  readonly identity: CacheIdentity;
  readonly teacher: Teacher;
  /** Training tokens. */ readonly tokens: Int32Array;
  /** Where the missing windows begin. */ readonly starts: readonly number[];
  /** Windows of one pass through the teacher; by default as many as give 4 million probabilities. */ readonly atOnce?: number;
}

/**
 * Runs the teacher over the missing windows of a cache and adds what it says of each token, in parts of a few megabytes.
 * @throws Interrupted after Ctrl-C, with everything computed so far written; NumericError when the teacher's logits are not finite;
 * FormatError when the disk is full or refuses.
 */
export async function fillCache(options: FillOptions, ctx: RunContext): Promise<void> {
  const { folder, identity, teacher, starts } = options;
  const kind = { ...identity, identityHash: identityHash(identity) };
  const perPass = options.atOnce ?? windowsOfPass(identity.context, teacher.config.vocabSize);
  let pending: WindowRecord[] = [];
  const flush = async (): Promise<void> => {
    if (pending.length > 0) await writePart(folder, kind, pending);
    pending = [];
  };
  for (let done = 0; done < starts.length; done += perPass) {
    await nextTurn(); // lets a signal in
    if (ctx.signal.aborted) {
      await flush();
      throw new Interrupted(`stopped with ${done} of ${starts.length} missing windows added to the teacher cache ${folder}`, { suggestions: ['type the same command again: it goes on from there'] });
    }
    const part = starts.slice(done, done + perPass);
    pending.push(...await computeRecords(part, options));
    if (pending.length * recordBytes(identity) >= PART_BYTES) await flush();
    ctx.reporter.progress({ phase: 'cache teacher', done: (done + part.length) * identity.context, total: starts.length * identity.context, unit: 'tokens' });
  }
  await flush();
}

async function computeRecords(starts: readonly number[], { identity, teacher, tokens }: FillOptions): Promise<WindowRecord[]> {
  const { context, samples, temperature } = identity;
  const inputs = new Int32Array(starts.length * context);
  const draws = new Float64Array(2 * inputs.length);
  starts.forEach((start, window) => {
    inputs.set(tokens.subarray(start, start + context), window * context);
    const random = createRandom(deriveSeed(SAMPLING_SEED, start));
    for (let i = 2 * window * context; i < 2 * (window + 1) * context; i++) draws[i] = random.next();
  });
  const logits = (): tf.Tensor2D => readoutLogits(streamTeacher(teacher, tf.tensor2d(inputs, [starts.length, context], 'int32')).readout);
  const found = await sampleRows(logits, { temperature, slots: samples, draws });
  return starts.map((start, window) => {
    const bytes = new Uint8Array(recordBytes(identity));
    const { ids, units, entropy } = viewRecord(bytes, identity);
    entropy.set(found.entropies.subarray(window * context, (window + 1) * context));
    const bad = entropy.findIndex((nats) => !Number.isFinite(nats));
    if (bad >= 0) throw new NumericError(`the teacher's logits after training token ${start + bad} are not finite`, { suggestions: ['bispik eval TEACHER --data FILE shows whether the teacher works'] });
    const from = window * ids.length;
    for (let i = 0; i < ids.length; i++) {
      ids[i] = found.ids[from + i] as number;
      units[i] = found.units[from + i] as number;
    }
    return { start, bytes };
  });
}
