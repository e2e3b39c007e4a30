import type { TaskItem } from './items.js';
import type { MetricName, OutputType } from './task-schema.js';
import type { TaskOutcomes } from './metrics.js';
import { isAccuracy, outcomesOf } from './metrics.js';
import type { RequestScore } from './score-windows.js';
import type { TokenItem } from './token-windows.js';

/** How a model that knows no context judges items. */
export interface UnigramModel {
  /** `training`: of the text given for it; `benchmark`: of the scored items' own prompts and continuations, right and wrong alike. */
  readonly counts: 'training' | 'benchmark';
  /** Tokens counted. */ readonly tokens: number;
  /** log p of each id: add-one smoothed, log((count + 1) / (N + V)). */ readonly logProbabilities: Float64Array;
}

/** Counts sequences of ids. */
export function fitUnigram(sequences: Iterable<ArrayLike<number>>, vocabSize: number, counts: UnigramModel['counts']): UnigramModel {
  const seen = new Float64Array(vocabSize);
  let tokens = 0;
  for (const ids of sequences) {
    for (let i = 0; i < ids.length; i++) seen[ids[i]!]! += 1;
    tokens += ids.length;
  }
  return { counts, tokens, logProbabilities: seen.map((count) => Math.log((count + 1) / (tokens + vocabSize))) };
}

/** The benchmark's own text, every prompt once and every continuation once. */
export function* benchmarkText(items: readonly TokenItem[]): Generator<readonly number[]> {
  for (const { requests } of items) {
    const prompts = new Set<string>();
    for (const { input, targets } of requests.flat()) {
      const prompt = input.slice(0, input.length - targets.length + 1);
      if (!prompts.has(prompt.join())) yield prompt;
      prompts.add(prompt.join());
      yield targets;
    }
  }
}

/** What the unigram model says of the same requests. */
export function scoreByUnigram(items: readonly TokenItem[], { logProbabilities }: UnigramModel): readonly (readonly RequestScore[])[] {
  const likeliest = logProbabilities.indexOf(Math.max(...logProbabilities));
  return items.map(({ requests }) => requests.map((windows) => {
    const targets = windows.flatMap((window) => window.targets);
    return { logLikelihood: targets.reduce((total, id) => total + logProbabilities[id]!, 0), isGreedy: targets.every((id) => id === likeliest) };
  }));
}

/** What guessing gives: of choices, the mean of 1 / their number; of tokens, every one of the vocabulary equally likely. */
export function chanceOutcomes(items: readonly TaskItem[], tokens: readonly TokenItem[], options: { readonly type: OutputType; readonly metrics: readonly MetricName[]; readonly vocabSize: number }): TaskOutcomes {
  const { type, metrics, vocabSize } = options;
  const lengths = tokens.map(({ requests }) => requests[0]!.reduce((total, { targets }) => total + targets.length, 0));
  const uniform = lengths.map((length) => [{ logLikelihood: -length * Math.log(vocabSize), isGreedy: false }]);
  const likelihoods = outcomesOf(items, uniform, { type, metrics: metrics.filter((metric) => !isAccuracy(metric)) });
  const hits = items.map(({ choices }, i) => (type === 'loglikelihood' ? vocabSize ** -lengths[i]! : 1 / choices.length));
  const accuracies = metrics.filter(isAccuracy).map((metric) => [metric, { values: hits, weights: null }] as const);
  return { ...likelihoods, ...Object.fromEntries(accuracies) };
}
