import * as tf from '@tensorflow/tfjs-core';

import { sumOfAll } from '../ops/reduce.js';
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
      const dear = rates.flatMap(({ site, rate }) => (SITE_WEIGHT[site] === undefined ? [] : [{ rate, share: SITE_WEIGHT[site] / (LAYER_WEIGHT * layers) }]));
      if (dear.length === 0) return tf.scalar(0);
      const excess = tf.relu(tf.sub(tf.stack(dear.map(({ rate }) => rate)), target));
      return sumOfAll(tf.mul(excess, tf.tensor1d(dear.map(({ share }) => share))));
    },
  };
}
