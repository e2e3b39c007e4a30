import * as tf from '@tensorflow/tfjs-core';

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
      const excess = rates.flatMap(({ site, rate }) => {
        const share = SITE_WEIGHT[site];
        return share === undefined ? [] : [tf.mul(tf.relu(tf.sub(rate, target)), share / (LAYER_WEIGHT * layers)) as tf.Scalar];
      });
      return excess.length === 0 ? tf.scalar(0) : tf.addN(excess);
    },
  };
}
