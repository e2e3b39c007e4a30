import { addCounts, NO_COUNTS } from '../energy/firing-rate.js';
import { Interrupted, NumericError, ShapeError } from '../errors.js';
import type { LanguageModel, OpCounts, RunContext, SequenceLogits, TokenIds } from '../types.js';
import { cutWindows } from './windows.js';
import type { EvalWindow, WindowOptions } from './windows.js';

/** Most logits held at once (bytes of float32); a batch has as many windows as fit, at least one. */
const BATCH_LOGITS_BYTES = 64 * 2 ** 20;
/** Most query·key pairs at once: a model may hold one number for each, per head and time step. */
const BATCH_PAIRS = 2 ** 20;
/** More windows at once than this gain nothing. */
const BATCH_WINDOWS = 16;

/** A model's loss over sequences. */
export interface PerplexityReport {
  /** Targets scored: every id but the first of each sequence. */ readonly tokens: number;
  /** Tokens the model processed: `tokens` and the left context of overlapping windows. */ readonly processedTokens: number;
  /** Mean negative log likelihood, nats per token. */ readonly nll: number;
  /** exp(nll). */ readonly perplexity: number;
  /** Null for a dense model. */ readonly counts: OpCounts | null;
}

/**
 * −log softmax(row)[target] in nats, computed in float64 with the maximum taken out; `row` is (V).
 * @throws ShapeError on a target outside the row. @throws NumericError when the row has a NaN or an infinite maximum.
 */
export function negativeLogLikelihood(row: Float32Array, target: number): number {
  const logit = row[target];
  if (logit === undefined) throw new ShapeError(`token id ${target} is outside the vocabulary of ${row.length}`);
  // Counted loops: three times as fast as `for … of` on a row of 50,000.
  let max = -Infinity;
  for (let id = 0; id < row.length; id++) if (row[id]! > max) max = row[id]!;
  let sum = 0;
  for (let id = 0; id < row.length; id++) sum += Math.exp(row[id]! - max);
  const nll = Math.log(sum) + (max - logit);
  if (Number.isNaN(nll)) throw new NumericError('the model gave logits that are NaN or all infinite');
  return nll;
}

/** How many windows of `length` tokens go through a model with V `vocabSize` at once. */
function batchSize(length: number, vocabSize: number): number {
  const fitting = Math.floor(Math.min(BATCH_LOGITS_BYTES / (4 * length * vocabSize), BATCH_PAIRS / length ** 2));
  return Math.min(BATCH_WINDOWS, Math.max(1, fitting));
}

/** Windows of equal length together, in order of first appearance, each list at most `maxWindows` long. */
function* batchesOf(windows: readonly EvalWindow[], maxWindowsFor: (length: number) => number): Generator<readonly number[]> {
  const pending = new Map<number, number[]>();
  for (const [index, { length }] of windows.entries()) {
    const list = pending.get(length) ?? [];
    list.push(index);
    pending.set(length, list);
    if (list.length >= maxWindowsFor(length)) {
      yield list;
      pending.delete(length);
    }
  }
  yield* pending.values();
}

function windowNll(window: EvalWindow, ids: TokenIds, logits: Float32Array): number {
  const vocabSize = logits.length / window.length;
  let sum = 0;
  for (let i = window.firstScored; i < window.length; i++) {
    sum += negativeLogLikelihood(logits.subarray(i * vocabSize, (i + 1) * vocabSize), ids[window.start + i + 1]!);
  }
  return sum;
}

function checkLogits(model: LanguageModel, window: EvalWindow, result: SequenceLogits | undefined): SequenceLogits {
  const expected = window.length * model.shape.vocabSize;
  if (result?.logits.length !== expected) {
    throw new ShapeError(`${model.kind} gave ${result?.logits.length ?? 0} logits for ${window.length} tokens, expected ${expected}`);
  }
  return result;
}

/**
 * Token perplexity of a model over sequences of ids: mean over all targets of −log p(id | at most `contextLength` ids before it
 * in its window), summed in float64 per window and then in window order, so batching does not change the result.
 * Progress is reported in scored tokens.
 * @throws UsageError on a bad stride; ShapeError on an id outside the vocabulary; NumericError on NaN; Interrupted on abort.
 */
export async function measurePerplexity(
  model: LanguageModel, { sequences, ...options }: WindowOptions & { readonly sequences: readonly TokenIds[] }, ctx: RunContext,
): Promise<PerplexityReport> {
  const windows = cutWindows(sequences.map((ids) => ids.length), options);
  if (windows.length === 0) throw new ShapeError('there is nothing to score: every sequence has fewer than 2 tokens');
  const total = windows.reduce((sum, window) => sum + window.length - window.firstScored, 0);
  const losses = new Float64Array(windows.length);
  let counts: OpCounts | null = null;
  let done = 0;
  for (const batch of batchesOf(windows, (length) => batchSize(length, model.shape.vocabSize))) {
    if (ctx.signal.aborted) throw new Interrupted(`evaluation of the ${model.kind} was interrupted after ${done} of ${total} tokens`);
    const inputs = batch.map((index) => {
      const { sequence, start, length } = windows[index]!;
      return sequences[sequence]!.slice(start, start + length);
    });
    const results = await model.forward(inputs);
    batch.forEach((index, row) => {
      const window = windows[index]!;
      const result = checkLogits(model, window, results[row]);
      losses[index] = windowNll(window, sequences[window.sequence]!, result.logits);
      if (result.counts !== null) counts = addCounts(counts ?? NO_COUNTS, result.counts);
      done += window.length - window.firstScored;
    });
    ctx.reporter.progress({ phase: `evaluate ${model.kind}`, done, total, unit: 'tokens' });
  }
  return { ...summarise(losses, total), processedTokens: windows.reduce((sum, { length }) => sum + length, 0), counts };
}

function summarise(losses: Float64Array, tokens: number): { tokens: number; nll: number; perplexity: number } {
  let sum = 0;
  for (const loss of losses) sum += loss;
  const nll = sum / tokens;
  const perplexity = Math.exp(nll);
  if (!Number.isFinite(perplexity)) throw new NumericError(`the loss is ${nll} nats per token: its perplexity is not a finite number`);
  return { tokens, nll, perplexity };
}
