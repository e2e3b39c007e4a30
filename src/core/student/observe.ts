import * as tf from '@tensorflow/tfjs-core';

import { indicator } from '../ops/indicator.js';
import { NumericError } from '../errors.js';
import { attentionDensity } from '../ops/firing-rate.js';
import type { SpikeSite } from '../types.js';
import type { SpikeObserver } from './block.js';

/** A site's mean firing rate as a tensor, differentiable. */
export interface SiteRateTensor {
  readonly layer: number;
  readonly site: SpikeSite;
  readonly rate: tf.Scalar;
}

/** Collects the mean firing rate of every site of a forward pass. */
export function rateCollector(): { observe: SpikeObserver; rates: SiteRateTensor[] } {
  const rates: SiteRateTensor[] = [];
  const observe: SpikeObserver = ({ layer, site, spikes, rates: perSite }) => {
    if (perSite === null) {
      rates.push({ layer, site, rate: attentionDensity(spikes as tf.Tensor4D) });
      return;
    }
    const sites: SpikeSite[] = site === 'query' ? ['query', 'key', 'value'] : [site];
    // The gradient of an unstack with one output fails in TensorFlow.js 4.22.
    const perSiteRates = sites.length === 1 ? [tf.reshape<tf.Rank.R0>(perSite, [])] : (tf.unstack(perSite) as tf.Scalar[]);
    sites.forEach((name, i) => rates.push({ layer, site: name, rate: perSiteRates[i] as tf.Scalar }));
  };
  return { observe, rates };
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
 * Counts values outside {0,1} among everything that enters a matrix product of the blocks. The tensors it keeps belong to the
 * tidy of the forward pass; `assertBinary` reads them and must be called before that tidy ends, or after `tf.keep`.
 */
export function binaryWatch(timeSteps: number): { observe: SpikeObserver; violations: BinaryViolation[] } {
  const violations: BinaryViolation[] = [];
  const observe: SpikeObserver = ({ layer, site, spikes }) => {
    // The attention map is a mean over T binary maps, so T·map must be an integer from 0 to T.
    const levels = site === 'attention' ? timeSteps : 1;
    const scaled = tf.mul(spikes, levels);
    const isLevel = tf.logicalAnd(tf.lessEqual(tf.abs(tf.sub(scaled, tf.round(scaled))), 1e-5), tf.logicalAnd(tf.greaterEqual(scaled, 0), tf.lessEqual(scaled, levels)));
    violations.push({ layer, site, count: tf.sum(indicator(tf.logicalNot(isLevel))) as tf.Scalar });
  };
  return { observe, violations };
}

/** Values outside {0,1} found by `binaryWatch` at one site. */
export interface BinaryViolation {
  readonly layer: number;
  readonly site: SpikeSite;
  readonly count: tf.Scalar;
}

/** @throws NumericError naming the first site where something other than 0 or 1 entered a matrix product. */
export async function assertBinary(violations: readonly BinaryViolation[]): Promise<void> {
  for (const violation of violations) refuse(violation, (await violation.count.data())[0] ?? 0);
}

/** As `assertBinary`, for backends that can read back at once (all but WebGPU). */
export function assertBinarySync(violations: readonly BinaryViolation[]): void {
  for (const violation of violations) refuse(violation, violation.count.dataSync()[0] ?? 0);
}

function refuse({ layer, site }: BinaryViolation, found: number): void {
  if (found > 0) throw new NumericError(`layer ${layer}, site ${site}: ${found} values outside {0,1} enter a matrix product of the student`);
}
