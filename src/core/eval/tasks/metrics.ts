import { createRandom } from '../../corpus/random.js';
import { countCodePoints, countUtf8Bytes, countWords } from './python-text.js';
import type { TaskItem } from './items.js';
import type { RequestScore } from './score-windows.js';
import type { MetricName, OutputType } from './task-schema.js';

/** What one metric says of every item, in the items' order: enough to aggregate it again over any choice of items. */
export interface MetricOutcomes {
  /** 0 or 1 for accuracies, log-likelihoods (nats) for perplexities. */ readonly values: readonly number[];
  /** Words or bytes that a perplexity is per; null where every item counts once. */ readonly weights: readonly number[] | null;
}

export type TaskOutcomes = Readonly<Partial<Record<MetricName, MetricOutcomes>>>;

/** A metric over items. */
export interface MetricValue {
  readonly value: number;
  /** Standard error of the mean, or by bootstrap; null where the harness gives none, or of one item. */ readonly stderr: number | null;
}

/** Index of the largest value, the first of equal ones. */
export function indexOfLargest(values: readonly number[]): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

type OfItem = (item: TaskItem, scores: readonly RequestScore[]) => number;

/** Whether the right choice has the largest log-likelihood per `length`. */
const hitsGold = (length: (choice: string) => number): OfItem => ({ choices, gold }, scores) =>
  Number(indexOfLargest(scores.map(({ logLikelihood }, i) => logLikelihood / length(choices[i]!))) === gold);

const logLikelihood: OfItem = (_, scores) => scores[0]!.logLikelihood;

interface Metric {
  readonly outcome: (type: OutputType) => OfItem;
  readonly weight: ((item: TaskItem) => number) | null;
  readonly aggregate: (outcomes: MetricOutcomes) => number;
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const mean = ({ values }: MetricOutcomes): number => sum(values) / values.length;
const perWeight = ({ values, weights }: MetricOutcomes): number => -sum(values) / sum(weights!);
const accuracy = (length: (choice: string) => number): Metric => ({
  outcome: (type) => (type === 'loglikelihood' ? (_, scores) => Number(scores[0]!.isGreedy) : hitsGold(length)), weight: null, aggregate: mean,
});

const METRIC: Readonly<Record<MetricName, Metric>> = {
  acc: accuracy(() => 1),
  acc_norm: accuracy(countCodePoints),
  acc_bytes: accuracy(countUtf8Bytes),
  perplexity: { outcome: () => logLikelihood, weight: null, aggregate: (outcomes) => Math.exp(-mean(outcomes)) },
  word_perplexity: { outcome: () => logLikelihood, weight: ({ counted }) => countWords(counted!), aggregate: (outcomes) => Math.exp(perWeight(outcomes)) },
  byte_perplexity: { outcome: () => logLikelihood, weight: ({ counted }) => countUtf8Bytes(counted!), aggregate: (outcomes) => Math.exp(perWeight(outcomes)) },
  bits_per_byte: { outcome: () => logLikelihood, weight: ({ counted }) => countUtf8Bytes(counted!), aggregate: (outcomes) => perWeight(outcomes) / Math.LN2 },
};

/** True for metrics whose values are 0 or 1 an item. */
export const isAccuracy = (metric: MetricName): boolean => METRIC[metric].aggregate === mean;

export interface OutcomeOptions {
  readonly type: OutputType;
  readonly metrics: readonly MetricName[];
}

/** What every metric says of items; `scores` may cover only the first ones. */
export function outcomesOf(items: readonly TaskItem[], scores: readonly (readonly RequestScore[])[], { type, metrics }: OutcomeOptions): TaskOutcomes {
  return Object.fromEntries(metrics.map((metric) => {
    const { outcome, weight } = METRIC[metric];
    const ofItem = outcome(type);
    const weights = weight === null ? null : scores.map((_, i) => weight(items[i]!));
    return [metric, { values: scores.map((of, i) => ofItem(items[i]!, of)), weights } satisfies MetricOutcomes];
  }));
}

/** Values of all metrics. */
export function valuesOf(outcomes: TaskOutcomes): Readonly<Partial<Record<MetricName, MetricValue>>> {
  return Object.fromEntries(Object.entries(outcomes).map(([metric, of]) => [metric, aggregate(metric as MetricName, of)]));
}

/** Seed of the bootstrap of perplexities; the harness's own is not reproducible. */
const BOOTSTRAP_SEED = 1234;
export const BOOTSTRAP_RESAMPLES = 1000;

/** A metric and its standard error: s/√n with the sample's own deviation; by bootstrap over items for `perplexity`. */
export function aggregate(metric: MetricName, outcomes: MetricOutcomes): MetricValue {
  const { aggregate: combine } = METRIC[metric];
  const value = combine(outcomes);
  if (outcomes.values.length < 2 || outcomes.weights !== null) return { value, stderr: null };
  return { value, stderr: isAccuracy(metric) ? deviation(outcomes.values) / Math.sqrt(outcomes.values.length) : bootstrapError(outcomes, combine) };
}

/** Sample standard deviation (n − 1). */
export function deviation(values: readonly number[]): number {
  const centre = sum(values) / values.length;
  return Math.sqrt(sum(values.map((value) => (value - centre) ** 2)) / (values.length - 1));
}

function bootstrapError({ values }: MetricOutcomes, combine: Metric['aggregate']): number {
  const random = createRandom(BOOTSTRAP_SEED);
  const resample = (): number => combine({ values: values.map(() => values[random.integer(values.length)]!), weights: null });
  return deviation(Array.from({ length: BOOTSTRAP_RESAMPLES }, resample));
}
