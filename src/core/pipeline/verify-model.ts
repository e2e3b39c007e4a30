import * as tf from '@tensorflow/tfjs-core';

import { totalAccumulates } from '../energy/firing-rate.js';
import { openEngine } from '../engine/open-engine.js';
import { NumericError, UsageError } from '../errors.js';
import { readStudent } from '../student/folder.js';
import { studentLanguageModel } from '../student/language-model.js';
import type { BlockVerification } from '../student/verify.js';
import { verifyBlocks } from '../student/verify.js';
import type { OpCounts, SiteCounts, TokenIds } from '../types.js';
import { prepareBackend } from './prepare-backend.js';

/** Tokens that are verified: every operation is looked at in plain JavaScript, which is slow. */
const MOST_TOKENS = 64;
/** Share of the spikes in which the engine may differ: sums in another order may cross a threshold. */
const MOST_DIFFERENT = 1e-3;

/** What `eval --verify` saw. */
export interface Verification extends BlockVerification {
  /** Spikes of the same tokens as the training graph and the engine counted them, all sites together. */ readonly spikes: { readonly graph: number; readonly engine: number };
  /** What stays real-valued: final norm and output head. */ readonly realValued: {
    readonly macs: number;
    /** Of all additions and multiply-accumulates, 0–1. */ readonly shareOfOperations: number;
  };
}

/**
 * Proves on a text's first tokens that only spikes enter matrix products, and that the engine, whose operations are counted, makes the same spikes.
 * @throws NumericError naming layer and site where something else happens; UsageError without tokens.
 */
export async function verifyModel(folder: string, sequences: readonly TokenIds[]): Promise<Verification> {
  await prepareBackend('cpu');
  const student = await readStudent(folder);
  const length = Math.min(MOST_TOKENS, student.config.contextLength);
  const ids = (sequences.find((sequence) => sequence.length > 0) ?? []).slice(0, length);
  if (ids.length === 0) throw new UsageError('there are no tokens to verify the model on', { suggestions: ['--data FILE with some text'] });
  const graph = studentLanguageModel(student);
  try {
    const blocks = verifyBlocks(student, ids);
    const [onGraph] = await graph.forward([ids]);
    const onEngine = await engineCounts(folder, ids);
    const counts = onGraph!.counts as OpCounts;
    requireSameSpikes(counts, onEngine);
    const additions = totalAccumulates(counts);
    return { ...blocks, spikes: { graph: spikesOf(counts), engine: spikesOf(onEngine) }, realValued: { macs: counts.macs, shareOfOperations: counts.macs / (counts.macs + additions) } };
  } finally {
    tf.dispose([...student.parameters.values()]);
  }
}

async function engineCounts(folder: string, ids: TokenIds): Promise<OpCounts> {
  const engine = await openEngine({ folder, precision: 'float32', threads: 1, notice: () => undefined });
  const [result] = await engine.forward([ids]);
  engine.dispose();
  return result!.counts as OpCounts;
}

const spikesOf = ({ sites }: OpCounts): number => sites.reduce((sum, { spikes }) => sum + spikes, 0);

function requireSameSpikes(graph: OpCounts, engine: OpCounts): void {
  const keyOf = ({ layer, site }: SiteCounts): string => `layer ${layer}, site ${site}`;
  const others = new Map(engine.sites.map((site) => [keyOf(site), site.spikes]));
  for (const site of graph.sites) {
    const other = others.get(keyOf(site));
    if (other === undefined || Math.abs(other - site.spikes) > Math.max(2, MOST_DIFFERENT * site.slots)) {
      throw new NumericError(`${keyOf(site)}: the engine counts ${other ?? 'no'} spikes, the training graph ${site.spikes}`);
    }
  }
}
