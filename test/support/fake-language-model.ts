import { expect } from 'chai';

import type { DecodingSession, LanguageModel, ModelShape, OpCounts, SequenceLogits, StepLogits, TokenIds } from '../../src/core/types.js';

/** Logits (V) for the token that follows `prefix`. */
export type NextLogits = (prefix: readonly number[]) => readonly number[] | Float32Array;

export interface FakeModelOptions {
  readonly kind?: 'student' | 'teacher';
  readonly shape?: Partial<ModelShape>;
  readonly next: NextLogits;
  /** What a forward from `from` to `to` tokens counts; null for a dense model. */
  readonly count?: (from: number, to: number) => OpCounts;
}

/** A language model computed by a function of the prefix, with a log of what was asked of it. */
export interface FakeLanguageModel extends LanguageModel {
  readonly batches: { readonly sequences: number; readonly length: number }[];
  readonly openSessions: () => number;
}

const SHAPE: ModelShape = { vocabSize: 4, hiddenSize: 2, layers: 1, heads: 1, feedForwardSize: 8, contextLength: 16 };

/** One student step of a made-up network: per token 3 query spikes of 4 slots and 6 accumulates, 10 macs, 1 popcount per pair. */
export function simpleCounts(from: number, to: number): OpCounts {
  const tokens = to - from;
  const pairs = (to * (to + 1) - from * (from + 1)) / 2;
  return { tokens, macs: 10 * tokens, popcounts: pairs, sites: [{ layer: 0, site: 'query', spikes: 3 * tokens, slots: 4 * tokens, accumulates: 6 * tokens }] };
}

export function fakeLanguageModel(options: FakeModelOptions): FakeLanguageModel {
  const shape = { ...SHAPE, ...options.shape };
  const { kind = 'teacher', count, next } = options;
  const countsOf = (from: number, to: number): OpCounts | null => count?.(from, to) ?? null;
  const batches: { sequences: number; length: number }[] = [];
  let open = 0;

  function openSession(past: readonly number[] = []): DecodingSession {
    let ids = [...past];
    open += 1;
    return {
      get length() { return ids.length; },
      append(more: TokenIds): Promise<StepLogits> {
        const from = ids.length;
        ids = [...ids, ...more];
        if (ids.length > shape.contextLength) throw new Error(`the fake model was given ${ids.length} tokens, its context is ${shape.contextLength}`);
        return Promise.resolve({ logits: Float32Array.from(next(ids)), counts: countsOf(from, ids.length) });
      },
      fork: () => openSession(ids),
      dispose() { open -= 1; },
    };
  }

  function forwardOne(ids: TokenIds): SequenceLogits {
    const logits = new Float32Array(ids.length * shape.vocabSize);
    const prefix: number[] = [];
    [...ids].forEach((id, i) => {
      prefix.push(id);
      logits.set(next(prefix), i * shape.vocabSize);
    });
    return { logits, counts: countsOf(0, ids.length) };
  }

  return {
    kind, shape, timeSteps: kind === 'student' ? 2 : 1, backend: 'fake', precision: 'float32', threads: 1, work: null, batches, openSessions: () => open,
    forward(sequences) {
      batches.push({ sequences: sequences.length, length: sequences[0]?.length ?? 0 });
      for (const ids of sequences) expect(ids.length, 'windows of one batch are equally long').to.equal(sequences[0]!.length);
      return Promise.resolve(sequences.map(forwardOne));
    },
    openSession: () => openSession(),
    dispose: () => undefined,
  };
}

/** A model to which every token is equally likely after any prefix. */
export function uniformLanguageModel(options: Omit<FakeModelOptions, 'next'> = {}): FakeLanguageModel {
  const vocabSize = options.shape?.vocabSize ?? SHAPE.vocabSize;
  return fakeLanguageModel({ ...options, next: () => new Float32Array(vocabSize) });
}

/** A bigram model: row `table[last]` holds the logits after the token `last`. */
export function tableLanguageModel(table: readonly (readonly number[])[], options: Omit<FakeModelOptions, 'next'> = {}): FakeLanguageModel {
  return fakeLanguageModel({ ...options, shape: { ...options.shape, vocabSize: table.length }, next: (prefix) => table[prefix.at(-1)!]! });
}

/** A model that always goes on with the given continuation of `promptLength` tokens, and then repeats its last token. */
export function scriptedLanguageModel(script: readonly number[], options: Omit<FakeModelOptions, 'next'> & { readonly promptLength: number }): FakeLanguageModel {
  const vocabSize = options.shape?.vocabSize ?? SHAPE.vocabSize;
  const next = (prefix: readonly number[]): Float32Array => {
    const logits = new Float32Array(vocabSize);
    logits[script[prefix.length - options.promptLength] ?? script.at(-1)!] = 10;
    return logits;
  };
  return fakeLanguageModel({ ...options, next });
}

function expectClose(actual: Float32Array, expected: Float32Array, label: { readonly text: string; readonly tolerance: number }): void {
  expect(actual.length, `${label.text}: logits`).to.equal(expected.length);
  let worst = 0;
  let sum = 0;
  actual.forEach((value, i) => {
    const difference = Math.abs(value - expected[i]!);
    worst = Number.isNaN(difference) ? Infinity : Math.max(worst, difference);
    sum += difference;
  });
  expect(worst, `${label.text}: max difference ${worst}, mean ${sum / actual.length}`).to.be.at.most(label.tolerance);
}

function addUp(parts: readonly (OpCounts | null)[]): { spikes: number; slots: number; accumulates: number; macs: number; popcounts: number; tokens: number } | null {
  const total = { spikes: 0, slots: 0, accumulates: 0, macs: 0, popcounts: 0, tokens: 0 };
  for (const part of parts) {
    if (part === null) return null;
    for (const site of part.sites) {
      total.spikes += site.spikes;
      total.slots += site.slots;
      total.accumulates += site.accumulates;
    }
    total.macs += part.macs;
    total.popcounts += part.popcounts;
    total.tokens += part.tokens;
  }
  return total;
}

/**
 * Asserts that decoding token by token, decoding after a prompt given at once, and decoding on a fork all give the logits of
 * one full forward (largest absolute difference at most `tolerance`), and that the counts of the steps add up to its counts.
 */
export async function expectIncrementalEqualsFull(model: LanguageModel, ids: TokenIds, tolerance = 1e-4): Promise<void> {
  const all = [...ids];
  const V = model.shape.vocabSize;
  const [full] = await model.forward([all]);
  const rowOf = (i: number): Float32Array => full!.logits.subarray(i * V, (i + 1) * V);

  const stepwise = model.openSession();
  const stepCounts: (OpCounts | null)[] = [];
  for (const [i, id] of all.entries()) {
    const { logits, counts } = await stepwise.append([id]);
    expectClose(logits, rowOf(i), { text: `token ${i}, one at a time`, tolerance });
    stepCounts.push(counts);
  }
  expect(stepwise.length, 'length of the session').to.equal(all.length);
  expect(addUp(stepCounts), 'counts of the steps together').to.deep.equal(addUp([full!.counts]));
  stepwise.dispose();

  const half = Math.max(1, Math.floor(all.length / 2));
  const prompted = model.openSession();
  const { logits } = await prompted.append(all.slice(0, half));
  expectClose(logits, rowOf(half - 1), { text: `prompt of ${half}`, tolerance });
  const fork = prompted.fork();
  for (const [name, session] of [['original', prompted], ['fork', fork]] as const) {
    for (let i = half; i < all.length; i++) {
      expectClose((await session.append([all[i]!])).logits, rowOf(i), { text: `token ${i}, ${name} after a prompt of ${half}`, tolerance });
    }
    expect(session.length, `length of the ${name}`).to.equal(all.length);
    session.dispose();
  }
}
