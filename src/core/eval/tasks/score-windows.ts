import { setImmediate as nextTurn } from 'node:timers/promises';

import { ShapeError } from '../../errors.js';
import type { DecodingSession, LanguageModel } from '../../types.js';
import { negativeLogLikelihood } from '../perplexity.js';
import type { TokenItem, TokenWindow } from './token-windows.js';

/** What a model says of one request. */
export interface RequestScore {
  /** Σ log p of the continuation's tokens, nats. */ readonly logLikelihood: number;
  /** Every token of the continuation is the likeliest one at its place. */ readonly isGreedy: boolean;
}

/** Most logits held at once (bytes of float32). */
const BATCH_LOGITS_BYTES = 64 * 2 ** 20;
/** More sequences at once than this gain nothing. */
const BATCH_SEQUENCES = 16;

/** Whether the likeliest token of a row is this one; of equal ones the first counts. */
function isLikeliest(row: Float32Array, target: number): boolean {
  const logit = row[target]!;
  for (let id = 0; id < row.length; id++) if (row[id]! > logit || (row[id]! === logit && id < target)) return false;
  return true;
}

/** Collects the targets of one window as their rows come by. */
class WindowScore implements RequestScore {
  logLikelihood = 0;
  isGreedy = true;

  add(row: Float32Array, target: number): void {
    this.logLikelihood -= negativeLogLikelihood(row, target);
    this.isGreedy &&= isLikeliest(row, target);
  }
}

/** Input position whose logits predict the first target. */
const firstOf = ({ input, targets }: TokenWindow): number => input.length - targets.length;

function commonLength(a: readonly number[], b: readonly number[], most: number): number {
  let length = 0;
  while (length < most && a[length] === b[length]) length++;
  return length;
}

/** Windows of one item by forks of a session: what their inputs share runs once, and only the rows of targets are computed. */
async function scoreByForks(model: LanguageModel, windows: readonly TokenWindow[]): Promise<readonly RequestScore[]> {
  if (windows.length === 0) return [];
  const scores = windows.map(() => new WindowScore());
  const shortest = Math.min(...windows.map((window) => firstOf(window) + 1));
  const shared = windows.reduce((length, { input }) => commonLength(windows[0]!.input, input, length), shortest);
  const root = model.openSession();
  try {
    if (shared > 0) {
      const { logits } = await root.append(windows[0]!.input.slice(0, shared));
      windows.forEach((window, i) => { if (firstOf(window) === shared - 1) scores[i]!.add(logits, window.targets[0]!); });
    }
    for (const [i, window] of windows.entries()) {
      if (shared === window.input.length) continue;
      const session = root.fork();
      try {
        await scoreRest(session, window, scores[i]!);
      } finally {
        session.dispose();
      }
    }
  } finally {
    root.dispose();
  }
  return scores;
}

async function scoreRest(session: DecodingSession, window: TokenWindow, score: WindowScore): Promise<void> {
  const first = firstOf(window);
  if (session.length <= first) score.add((await session.append(window.input.slice(session.length, first + 1))).logits, window.targets[0]!);
  while (session.length < window.input.length) {
    const at = session.length;
    score.add((await session.append([window.input[at]!])).logits, window.targets[at - first]!);
  }
}

/** Windows of any items in batches of about equal length, padded on the right, where a causal model does not look. Null where the signal was aborted. */
async function scoreByBatches(model: LanguageModel, windows: readonly TokenWindow[], signal: AbortSignal): Promise<readonly RequestScore[] | null> {
  const scores = windows.map(() => new WindowScore());
  const groups = groupByInput(windows);
  const { vocabSize } = model.shape;
  while (groups.length > 0) {
    if (signal.aborted) return null;
    const length = windows[groups[0]![0]!]!.input.length;
    const batch = groups.splice(0, Math.max(1, Math.min(BATCH_SEQUENCES, Math.floor(BATCH_LOGITS_BYTES / (4 * length * vocabSize)))));
    const results = await model.forward(batch.map(([i]) => padded(windows[i!]!.input, length)));
    batch.forEach((members, row) => {
      const logits = results[row]?.logits;
      if (logits?.length !== length * vocabSize) throw new ShapeError(`${model.kind} gave ${logits?.length ?? 0} logits for ${length} tokens, expected ${length * vocabSize}`);
      for (const i of members) {
        const first = firstOf(windows[i]!);
        windows[i]!.targets.forEach((target, t) => scores[i]!.add(logits.subarray((first + t) * vocabSize, (first + t + 1) * vocabSize), target));
      }
    });
  }
  return scores;
}

/** Indices of windows that differ only in their targets, such as one-token choices, together; the longest inputs first. */
function groupByInput(windows: readonly TokenWindow[]): number[][] {
  const groups = new Map<string, number[]>();
  windows.forEach(({ input }, i) => {
    const key = input.join();
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [i]);
    else group.push(i);
  });
  return [...groups.values()].sort((a, b) => windows[b[0]!]!.input.length - windows[a[0]!]!.input.length);
}

function padded(input: readonly number[], length: number): readonly number[] {
  return input.length === length ? input : [...input, ...new Array<number>(length - input.length).fill(0)];
}

export interface ScoringOptions {
  readonly signal: AbortSignal;
  /** Left out: forks on the engine, batches elsewhere. */ readonly strategy?: 'forks' | 'batches';
}

/**
 * Scores items in order.
 * @returns the scores of every item, or null where the signal was aborted before the last was done.
 * @throws ShapeError on ids the model does not have, NumericError on logits that are no numbers.
 */
export async function scoreItems(model: LanguageModel, items: readonly TokenItem[], { signal, strategy }: ScoringOptions): Promise<readonly (readonly RequestScore[])[] | null> {
  const usesForks = (strategy ?? (model.backend === 'engine' ? 'forks' : 'batches')) === 'forks';
  const done: (readonly RequestScore[])[] = [];
  for (const group of usesForks ? items.map((item) => [item]) : [items]) {
    await nextTurn(); // so that Ctrl-C is heard
    if (signal.aborted) return null;
    const windows = group.flatMap(({ requests }) => requests.flat());
    const scores = usesForks ? await scoreByForks(model, windows) : await scoreByBatches(model, windows, signal);
    if (scores === null) return null;
    let at = 0;
    for (const { requests } of group) done.push(requests.map((parts) => addUp(scores.slice(at, at += parts.length))));
  }
  return done;
}

function addUp(parts: readonly RequestScore[]): RequestScore {
  return parts.reduce<RequestScore>((sum, { logLikelihood, isGreedy }) => ({ logLikelihood: sum.logLikelihood + logLikelihood, isGreedy: sum.isGreedy && isGreedy }), { logLikelihood: 0, isGreedy: true });
}
