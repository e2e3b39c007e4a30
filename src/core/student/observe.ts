import * as tf from '@tensorflow/tfjs-core';

import { indicator } from '../ops/indicator.js';
import { NumericError } from '../errors.js';
import { view } from '../ops/kernels.js';
import { unrecorded } from '../ops/unrecorded.js';
import type { RateSite, SiteRates } from '../train/task.js';
import type { SpikeSite } from '../types.js';
import type { RateObserver, SpikeObserver } from './block.js';

/** Mean firing rates of a forward pass. */
export interface FiringRates {
  readonly sites: readonly RateSite[];
  /** Differentiable: the rates of the sites whose spikes are computed together, (1) or (3), one behind the other in the order of the sites. */
  readonly groups: readonly tf.Tensor1D[];
}

/** Spikes that `binaryWatch` looks at together: it takes three times their memory. */
export const CHECKED_AT_ONCE = 2 ** 24;

/** Collects the rates of every site of a forward pass. */
export function rateCollector(): { observe: RateObserver; rates: FiringRates } {
  const [sites, groups]: [RateSite[], tf.Tensor1D[]] = [[], []];
  const observe: RateObserver = ({ layer, site, rates }) => {
    if (rates === null) throw new Error(`layer ${layer}, site ${site}: its rate was not computed`);
    groups.push(rates);
    const names: SpikeSite[] = site === 'query' ? ['query', 'key', 'value'] : [site];
    sites.push(...names.map((name) => ({ layer, site: name })));
  };
  return { observe, rates: { sites, groups } };
}

/** Firing rates of a whole pass. */
export interface JoinedRates extends FiringRates, SiteRates {}

/** Rates of a pass that is over, and their values as one tensor, which passes no gradient on. */
export function joinRates(rates: FiringRates): JoinedRates {
  const [values] = unrecorded(() => [tf.concat1d([...rates.groups])]);
  return { ...rates, values: values as tf.Tensor1D };
}

/** Both observers, in order. */
export function observeBoth(first: SpikeObserver, second: SpikeObserver): SpikeObserver {
  return (event) => {
    first(event);
    second(event);
  };
}

/** Sees nothing. */
export const ignoreSpikes: SpikeObserver = () => undefined;

/**
 * Counts values outside {0,1} among everything that enters a matrix product of the blocks. The counts are kept; `assertBinary` reads and
 * disposes them.
 */
export function binaryWatch(timeSteps: number): { observe: SpikeObserver; violations: BinaryViolation[] } {
  const violations: BinaryViolation[] = [];
  const observe: SpikeObserver = ({ layer, site, spikes }) => tf.tidy(() => {
    const count = site === 'attention' ? tf.sum(indicator(isNoCount(spikes, timeSteps))) : countOthers(spikes);
    violations.push({ layer, site, count: tf.keep(count) as tf.Scalar });
  });
  return { observe, violations };
}

/** Values that are neither 0 nor 1, piece by piece. Only these two are their own squares; a NaN is not even its own. */
function countOthers(spikes: tf.Tensor): tf.Tensor {
  const flat = view<tf.Rank.R1>(spikes, [spikes.size]);
  const counts: tf.Tensor[] = [];
  for (let start = 0; start < spikes.size; start += CHECKED_AT_ONCE) {
    counts.push(tf.tidy(() => {
      const piece = spikes.size <= CHECKED_AT_ONCE ? flat : tf.slice(flat, [start], [Math.min(CHECKED_AT_ONCE, spikes.size - start)]);
      return tf.sum(tf.notEqual(tf.square(piece), piece));
    }));
  }
  return tf.addN(counts);
}

/** Attention spikes come as counts: query i has i + 1 keys and T time steps, so its count is an integer from 0 to T·(i + 1). */
function isNoCount(counts: tf.Tensor, timeSteps: number): tf.Tensor {
  const most = tf.mul(tf.range(1, (counts.shape[2] ?? 0) + 1), timeSteps);
  const rounded = tf.round(counts);
  return tf.logicalNot(tf.logicalAnd(tf.equal(counts, rounded), tf.logicalAnd(tf.greaterEqual(rounded, 0), tf.lessEqual(rounded, most))));
}

/** Values outside {0,1} found by `binaryWatch` at one site. */
export interface BinaryViolation {
  readonly layer: number;
  readonly site: SpikeSite;
  readonly count: tf.Scalar;
}

/** @throws NumericError naming the first site where something other than 0 or 1 entered a matrix product. */
export async function assertBinary(violations: readonly BinaryViolation[]): Promise<void> {
  try {
    for (const violation of violations) refuse(violation, (await violation.count.data())[0] ?? 0);
  } finally {
    tf.dispose(violations.map(({ count }) => count));
  }
}

/** As `assertBinary`, for backends that can read back at once (all but WebGPU). */
export function assertBinarySync(violations: readonly BinaryViolation[]): void {
  try {
    for (const violation of violations) refuse(violation, violation.count.dataSync()[0] ?? 0);
  } finally {
    tf.dispose(violations.map(({ count }) => count));
  }
}

function refuse({ layer, site }: BinaryViolation, found: number): void {
  if (found > 0) throw new NumericError(`layer ${layer}, site ${site}: ${found} values outside {0,1} enter a matrix product of the student`);
}
