import * as tf from '@tensorflow/tfjs-core';

import { applyCustomOp, output } from '../ops/kernels.js';
import type { JoinedRates } from '../student/observe.js';
import type { SpikeSite } from '../types.js';
import type { LossTerm } from './total-loss.js';

/** A site's share of a block's dense multiply-accumulates, in units of D²: how dear its spikes are. */
const SITE_WEIGHT: Readonly<Partial<Record<SpikeSite, number>>> = {
  attention_entry: 3, query: 1, key: 1, value: 1, attention: 1, attention_out: 1, feed_forward_entry: 4, hidden: 4,
};
/** Sum of the weights of one layer. */
const LAYER_WEIGHT = 16;

/**
 * Rate hinge: Σ over sites of share·max(0, rate − target), divided by the number of layers; silent below the target.
 * Deviation: ours; without it the entrance neurons climb to rates of .35 and more and dominate the energy.
 */
export function rateHinge(weight: number, target: number, layers: number): LossTerm {
  return {
    name: 'rateLoss',
    weight,
    compute: ({ rates }) => {
      const shares = rates.sites.map(({ site }) => (SITE_WEIGHT[site] ?? 0) / (LAYER_WEIGHT * layers));
      return shares.length === 0 ? tf.scalar(0) : hinge(rates, { target, shares });
    },
  };
}

/** Σ share·max(0, rate − target) over all sites; differentiable in the groups. */
function hinge({ groups, values }: JoinedRates, { target, shares }: { readonly target: number; readonly shares: readonly number[] }): tf.Scalar {
  return applyCustomOp({
    inputs: groups,
    forward: (save) => {
      const excess = tf.sub(values, target);
      const slopes = tf.mul(tf.step(excess), tf.tensor1d([...shares]));
      save([slopes]);
      return tf.sum(tf.mul(excess, slopes));
    },
    backward: (dy, saved) => tf.split(tf.mul(output(saved, 0), dy), groups.map(({ size }) => size)),
  }) as tf.Scalar;
}
