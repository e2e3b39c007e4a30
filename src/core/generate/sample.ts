import { NumericError, ShapeError, UsageError } from '../errors.js';

/** How the next token is chosen; the fields in the order in which they apply. */
export interface SamplingOptions {
  /** Divides positive and multiplies negative logits of tokens already present; 1 changes nothing. */ readonly repetitionPenalty: number;
  /** Logits are divided by it; 0 takes the most probable token (lowest id on ties). */ readonly temperature: number;
  /** How many of the most probable tokens may be drawn; null keeps all. */ readonly topK: number | null;
  /** Nucleus: the fewest most probable tokens whose mass reaches it, 0 < topP ≤ 1; null keeps all. */ readonly topP: number | null;
}

/** Tokens that may be drawn, by id, and their probabilities, which are above 0 and sum to 1. */
export interface Candidates {
  readonly ids: Int32Array;
  readonly probabilities: Float64Array;
}

/** @throws UsageError naming the option, its value and its range. */
export function checkSamplingOptions({ temperature, topK, topP, repetitionPenalty }: SamplingOptions): void {
  if (!(temperature >= 0 && Number.isFinite(temperature))) {
    throw new UsageError(`the temperature must be 0 or more, found ${temperature}`, { suggestions: ['--temperature 0.8', '--temperature 0 (greedy)'] });
  }
  if (topK !== null && !(Number.isInteger(topK) && topK >= 1)) {
    throw new UsageError(`top-k must be a whole number of at least 1, found ${topK}`, { suggestions: ['--top-k 40'] });
  }
  if (topP !== null && !(topP > 0 && topP <= 1)) {
    throw new UsageError(`top-p must be above 0 and at most 1, found ${topP}`, { suggestions: ['--top-p 0.95'] });
  }
  if (!(repetitionPenalty > 0 && Number.isFinite(repetitionPenalty))) {
    throw new UsageError(`the repetition penalty must be above 0, found ${repetitionPenalty}`, { suggestions: ['--repetition-penalty 1.1'] });
  }
}

/**
 * Repetition penalty of CTRL (Keskar et al. 2019, sec. 4.1) in the form usual since, which also lowers negative logits: a logit
 * of a token in `present` becomes z/penalty if z > 0, else z·penalty, once however often the token occurs.
 * @returns a new (V) array. @throws ShapeError on an id outside the vocabulary.
 */
export function penaliseRepetition(logits: Float32Array, present: ReadonlySet<number>, penalty: number): Float32Array {
  const result = logits.slice();
  for (const id of present) {
    const z = logits[id];
    if (z === undefined) throw new ShapeError(`token id ${id} is outside the vocabulary of ${logits.length}`);
    result[id] = z > 0 ? z / penalty : z * penalty;
  }
  return result;
}

/** Id of the largest logit, the lowest id on ties. @throws NumericError on NaN, or when no logit is finite. */
export function mostProbable(logits: Float32Array): number {
  let best = -1;
  for (let id = 0; id < logits.length; id++) {
    const z = logits[id]!;
    if (Number.isNaN(z)) throw new NumericError(`the logit of token ${id} is NaN`);
    if (z > (best < 0 ? -Infinity : logits[best]!)) best = id;
  }
  if (best < 0 || logits[best] === Infinity) throw new NumericError('the logits leave no token to choose: none is finite, or one is infinite');
  return best;
}

/** The value in place `n` (from 1) of `values` sorted downwards, by quickselect; reorders `values`. */
function nthLargest(values: Float64Array, n: number): number {
  let [low, high] = [0, values.length - 1];
  while (low < high) {
    const pivot = values[(low + high) >> 1]!;
    let [i, j] = [low, high];
    while (i <= j) {
      while (values[i]! > pivot) i++;
      while (values[j]! < pivot) j--;
      if (i > j) break;
      const swapped = values[i]!;
      values[i++] = values[j]!;
      values[j--] = swapped;
    }
    if (n - 1 <= j) high = j;
    else if (n - 1 >= i) low = i;
    else break;
  }
  return values[n - 1]!;
}

/** Sets all but the `count` largest weights to 0, of which the smallest is `limit`; among ties the lowest ids stay. */
function keepLargest(weights: Float64Array, { count, limit }: { readonly count: number; readonly limit: number }): void {
  let ties = count;
  for (let id = 0; id < weights.length; id++) if (weights[id]! > limit) ties -= 1;
  for (let id = 0; id < weights.length; id++) {
    if (weights[id]! < limit || (weights[id] === limit && ties-- <= 0)) weights[id] = 0;
  }
}

/** How many of the largest weights reach the share `topP` of all, and the smallest of them. */
function nucleusOf(weights: Float64Array, topP: number): { count: number; limit: number } {
  const total = sumOf(weights);
  // Those below (1 − p)/V of the total together weigh less than 1 − p of it, so none of them is needed and they are not sorted.
  const floor = ((1 - topP) / weights.length) * total;
  const sorted = weights.filter((weight) => weight >= floor).sort();
  let mass = 0;
  let count = 0;
  while (count < sorted.length && mass < topP * total) mass += sorted[sorted.length - ++count]!;
  return { count, limit: sorted[sorted.length - count]! };
}

function sumOf(weights: Float64Array): number {
  let sum = 0;
  for (let id = 0; id < weights.length; id++) sum += weights[id]!;
  return sum;
}

/**
 * The distribution tokens are drawn from at a temperature above 0: temperature, then top-k, then top-p (Holtzman et al. 2020),
 * each on what the one before left. `logits` is (V), after the repetition penalty.
 * @throws NumericError when the logits leave nothing to choose.
 */
export function candidates(logits: Float32Array, { temperature, topK, topP }: SamplingOptions): Candidates {
  const max = logits[mostProbable(logits)]!;
  const weights = new Float64Array(logits.length);
  for (let id = 0; id < weights.length; id++) weights[id] = Math.exp((logits[id]! - max) / temperature);
  if (topK !== null && topK < weights.length) keepLargest(weights, { count: topK, limit: nthLargest(weights.slice(), topK) });
  if (topP !== null && topP < 1) keepLargest(weights, nucleusOf(weights, topP));
  const ids = new Int32Array(weights.length);
  let size = 0;
  for (let id = 0; id < weights.length; id++) if (weights[id]! > 0) ids[size++] = id;
  const probabilities = new Float64Array(size);
  const total = sumOf(weights);
  for (let i = 0; i < size; i++) probabilities[i] = weights[ids[i]!]! / total;
  return { ids: ids.slice(0, size), probabilities };
}

/**
 * The next token: greedy at temperature 0, else drawn from `candidates` by `uniform`, a number in [0, 1) from a seeded
 * generator. A pure function: equal arguments, equal token.
 * @throws NumericError when the logits leave nothing to choose.
 */
export function sampleToken(logits: Float32Array, options: SamplingOptions, uniform: number): number {
  if (options.temperature === 0) return mostProbable(logits);
  const { ids, probabilities } = candidates(logits, options);
  let left = uniform;
  let chosen = 0;
  while (chosen < ids.length - 1 && left >= probabilities[chosen]!) left -= probabilities[chosen++]!;
  return ids[chosen]!;
}
