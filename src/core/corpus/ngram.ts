import { ConfigError, ShapeError } from '../errors.js';

export interface NgramOptions {
  /** Training tokens the counts come from. */ readonly train: Int32Array;
  /** Validation windows of L+1 tokens (see `windowsOf`): targets are entries 1 … L, each predicted from the entry before it. */
  readonly windows: readonly Int32Array[];
  /** V */ readonly vocabSize: number;
}

/** Losses in nats per token that need no context (unigram) and one token of it (bigram). */
export interface NgramBaselines {
  readonly unigramNll: number;
  readonly bigramNll: number;
}

/** @throws ShapeError on an id outside the vocabulary. */
function countTokens(tokens: Int32Array, vocabSize: number): Float64Array {
  const counts = new Float64Array(vocabSize);
  for (const id of tokens) {
    if (id < 0 || id >= vocabSize) throw new ShapeError(`token ${id} lies outside a vocabulary of ${vocabSize}`);
    counts[id] = (counts[id] as number) + 1;
  }
  return counts;
}

/** Add-one smoothed unigram: p(w) = (c(w) + 1) / (N + V). @returns (V) probabilities. */
function unigramProbabilities(options: NgramOptions): Float64Array {
  const { train, vocabSize } = options;
  return countTokens(train, vocabSize).map((count) => (count + 1) / (train.length + vocabSize));
}

/** Mean of −log probability(history, target) over all targets of all windows. @throws ConfigError when there are none, ShapeError on a foreign id. */
function meanNll(options: NgramOptions, probability: (history: number, target: number) => number): number {
  let nats = 0;
  let targets = 0;
  for (const window of options.windows) {
    for (let i = 1; i < window.length; i++, targets++) {
      const p = probability(window[i - 1] as number, window[i] as number);
      if (!(p > 0)) throw new ShapeError(`token ${window[i]} lies outside a vocabulary of ${options.vocabSize}`);
      nats -= Math.log(p);
    }
  }
  if (targets === 0) throw new ConfigError('there are no validation targets: the validation text is shorter than one window');
  return nats / targets;
}

/** Unigram loss with add-one smoothing over V. @returns nats per target. @throws ShapeError on an id outside the vocabulary, ConfigError without targets. */
export function unigramNll(options: NgramOptions): number {
  const unigram = unigramProbabilities(options);
  return meanNll(options, (_, target) => unigram[target] as number);
}

/**
 * Bigram loss with Witten–Bell smoothing (Witten and Bell 1991, method C, interpolated):
 * p(w|h) = (c(h,w) + T(h)·p(w)) / (c(h) + T(h)), where c(h) counts h as a history, T(h) its distinct followers and p(w) is the add-one unigram;
 * a history never seen falls back to p(w). @returns nats per target. @throws ShapeError on an id outside the vocabulary, ConfigError without targets.
 */
export function bigramNll(options: NgramOptions): number {
  const { train, vocabSize } = options;
  const unigram = unigramProbabilities(options);
  const pairs = new Map<number, number>();
  const histories = new Float64Array(vocabSize);
  const followers = new Float64Array(vocabSize);
  for (let i = 1; i < train.length; i++) {
    const history = train[i - 1] as number;
    const key = history * vocabSize + (train[i] as number);
    const seen = pairs.get(key) ?? 0;
    if (seen === 0) followers[history] = (followers[history] as number) + 1;
    pairs.set(key, seen + 1);
    histories[history] = (histories[history] as number) + 1;
  }
  return meanNll(options, (history, target) => {
    const distinct = followers[history] ?? 0;
    const backOff = unigram[target] as number;
    if (distinct === 0) return backOff;
    return ((pairs.get(history * vocabSize + target) ?? 0) + distinct * backOff) / ((histories[history] as number) + distinct);
  });
}

/** Both baselines over the same targets. @throws as `unigramNll` and `bigramNll`. */
export function ngramBaselines(options: NgramOptions): NgramBaselines {
  return { unigramNll: unigramNll(options), bigramNll: bigramNll(options) };
}
