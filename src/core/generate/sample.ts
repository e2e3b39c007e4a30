import { NumericError, ShapeError, UsageError } from '../errors.js';

/** How the next token is chosen; the fields in the order in which they apply. */
export interface SamplingOptions {
  /** Divides positive and multiplies negative logits of tokens already present; 1 changes nothing. */ readonly repetitionPenalty: number;
  /** Logits are divided by it; 0 takes the most probable token (lowest id on ties). */ readonly temperature: number;
  /** How many of the most probable tokens may be drawn; null keeps all. */ readonly topK: number | null;
  /** Nucleus: the fewest most probable tokens whose mass reaches it, 0 < topP ≤ 1; null keeps all. */ readonly topP: number | null;
}

/** Tokens that may be drawn and their probabilities, which sum to 1; most probable first under top-p, else by id. */
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

/** The `count` largest of `ids` by logit, in order of id; the last places go to the lowest ids among ties. */
function largest(ids: Int32Array, logits: Float32Array, count: number): Int32Array {
  if (count >= ids.length) return ids;
  const limit = Float32Array.from(ids, (id) => logits[id]!).sort()[ids.length - count]!;
  let ties = count - ids.reduce((above, id) => above + Number(logits[id]! > limit), 0);
  return ids.filter((id) => logits[id]! > limit || (logits[id] === limit && ties-- > 0));
}

function weigh(ids: Int32Array, logits: Float32Array, { temperature, max }: { readonly temperature: number; readonly max: number }): Candidates {
  const weights = Float64Array.from(ids, (id) => Math.exp((logits[id]! - max) / temperature));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return { ids, probabilities: weights.map((weight) => weight / total) };
}

/**
 * The fewest most probable candidates whose mass reaches `topP`, most probable first (lower id first on ties), made to sum to
 * 1 again. Those below (1 − p)/n together weigh less than 1 − p, so none of them is needed and they are not sorted.
 */
function nucleus({ ids, probabilities }: Candidates, topP: number): Candidates {
  const floor = (1 - topP) / ids.length;
  const order = Array.from(ids.keys()).filter((i) => probabilities[i]! >= floor)
    .sort((a, b) => probabilities[b]! - probabilities[a]! || ids[a]! - ids[b]!);
  let mass = 0;
  let size = 0;
  while (size < order.length && mass < topP) mass += probabilities[order[size++]!]!;
  const kept = order.slice(0, size);
  return { ids: Int32Array.from(kept, (i) => ids[i]!), probabilities: Float64Array.from(kept, (i) => probabilities[i]! / mass) };
}

/**
 * The distribution tokens are drawn from at a temperature above 0: temperature, then top-k, then top-p (Holtzman et al. 2020),
 * each on what the one before left. `logits` is (V), after the repetition penalty.
 * @throws NumericError when the logits leave nothing to choose.
 */
export function candidates(logits: Float32Array, { temperature, topK, topP }: SamplingOptions): Candidates {
  const max = logits[mostProbable(logits)]!;
  const finite = Int32Array.from(logits.keys()).filter((id) => logits[id] !== -Infinity);
  const weighed = weigh(largest(finite, logits, topK ?? finite.length), logits, { temperature, max });
  return topP === null || topP === 1 ? weighed : nucleus(weighed, topP);
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
  for (let i = 0; i < ids.length && left >= 0; i++) {
    if (probabilities[i] === 0) continue;
    chosen = i;
    left -= probabilities[i]!;
  }
  return ids[chosen]!;
}
