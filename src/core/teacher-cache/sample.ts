import type { Random } from '../corpus/random.js';

/** Weights are whole multiples of 1/WEIGHT_UNITS and sum to exactly 1. */
export const WEIGHT_UNITS = 65_535;

/** Where a sample is written: N ids and their weights in units of 1/WEIGHT_UNITS. */
export interface SampleTarget {
  readonly ids: Uint16Array;
  readonly units: Uint16Array;
}

/**
 * Draws a sparse distribution p̂ of N ids that equals p on average: E[p̂_v] = p_v for every v. The cross-entropy −Σ_v p̂_v·log q_v and its gradient in
 * the student's logits, q − p̂, are linear in p̂, so both are unbiased.
 *
 * Each id v enters with probability π_v = min(1, p_v/τ) and then has the weight p_v/π_v = max(p_v, τ), where τ makes Σπ_v = N: likely ids are kept as
 * they are, the others share the rest in equal weights τ. Among all samples of N ids whose estimates are unbiased in this way, this π has the smallest
 * Σ_v Var p̂_v = Σ_v p_v²(1/π_v − 1) (Lagrange: π ∝ p, capped at 1), which is the variance of the gradient; independent draws with a proposal ∝ p^t
 * have Σ_v p_v²/(N·q_v) − Σ_v p_v²/N, more for every t, and weights that sum to 1 only on average. Which of the unlikely ids enter is decided by one
 * uniform number: those that the points (u + j)·τ hit on the cumulated p (systematic sampling; Madow, 1949), so that exactly N do. The same is done once
 * more to round the weights: w_n becomes the difference of ⌊65535·(w_1 + … + w_n) + u'⌋, which is right on average and keeps the sum.
 * Related: priority sampling and VarOpt (Cohen et al., 2009); random sampling knowledge distillation draws with replacement.
 *
 * @param p (V) at least 0 and not all 0, need not sum to 1 exactly. @param target written over; slots that are not needed get id 0 and weight 0.
 */
export function sampleDistribution(p: Float32Array, target: SampleTarget, random: Pick<Random, 'next'>): void {
  const [u, uRounding] = [random.next(), random.next()];
  const slots = target.ids.length;
  const weights = new Float64Array(slots);
  target.ids.fill(0);
  const { certain, rest } = certainIds(p, slots);
  certain.forEach((id, slot) => {
    target.ids[slot] = id;
    weights[slot] = p[id] as number;
  });
  const step = rest / (slots - certain.length);
  if (certain.length < slots && step > 0) {
    const leastCertain = certain.length === 0 ? Infinity : (p[certain.at(-1) as number] as number);
    let [slot, cumulated, point] = [certain.length, 0, u * step];
    for (let id = 0; id < p.length && slot < slots; id++) {
      const chance = p[id] as number;
      if (chance >= leastCertain && certain.includes(id)) continue;
      cumulated += chance;
      if (point >= cumulated) continue;
      target.ids[slot] = id;
      weights[slot++] = step;
      point = (u + slot - certain.length) * step;
    }
  }
  roundWeights(weights, target.units, uRounding);
}

/** Ids whose probability exceeds an equal share of what the more likely ones leave, the likeliest first, and what they all leave. */
function certainIds(p: Float32Array, slots: number): { certain: number[]; rest: number } {
  const { top, total } = likeliest(p, slots);
  let rest = total;
  let count = 0;
  while (count < top.length && (p[top[count] as number] as number) > rest / (slots - count)) rest -= p[top[count++] as number] as number;
  return { certain: top.slice(0, count), rest };
}

/** The `count` likeliest ids, in order, of equals the lower id; and the sum of p. */
function likeliest(p: Float32Array, count: number): { top: number[]; total: number } {
  const [top, chances] = [new Int32Array(count), new Float64Array(count)];
  let [held, least, total] = [0, -1, 0];
  for (let id = 0; id < p.length; id++) {
    const chance = p[id] as number;
    total += chance;
    if (chance <= least) continue;
    let at = held === count ? count - 1 : held++;
    for (; at > 0 && (chances[at - 1] as number) < chance; at--) {
      chances[at] = chances[at - 1] as number;
      top[at] = top[at - 1] as number;
    }
    chances[at] = chance;
    top[at] = id;
    if (held === count) least = chances[count - 1] as number;
  }
  return { top: [...top.subarray(0, held)], total };
}

function roundWeights(weights: Float64Array, units: Uint16Array, u: number): void {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let [cumulated, before] = [0, 0];
  weights.forEach((weight, slot) => {
    cumulated += weight;
    const after = Math.floor(WEIGHT_UNITS * (cumulated / total) + u);
    units[slot] = after - before;
    before = after;
  });
}
