import * as tf from '@tensorflow/tfjs-core';

import type { OpCounts, SiteCounts, SpikeSite } from '../types.js';
import type { SpikeObserver } from './block.js';
import type { StudentConfig } from './config.js';
import { causalPairs, fanOut } from './fan-out.js';

/** Which tokens of which sequences a forward pass worked on. */
export interface CountedTokens {
  /** B */ readonly batch: number;
  /** New tokens per sequence. */ readonly length: number;
  /** Tokens of each sequence that were processed before. */ readonly offset: number;
}

/** Spikes of one site per new token, before they are read back. */
interface Tally {
  readonly layer: number;
  readonly site: SpikeSite;
  /** (B·L) spikes, summed over time steps and channels (for `attention`: over heads and keys). */ readonly perToken: tf.Tensor;
  /** Neurons × time steps per token; null for `attention`, whose pairs grow with the position. */ readonly slots: number | null;
}

/**
 * Counts the spikes of a forward pass, site by site; `read` turns them into operation counts per sequence.
 * The tensors are kept; `read` disposes them.
 */
export function spikeCounter(config: StudentConfig): { observe: SpikeObserver; read: (tokens: CountedTokens) => Promise<OpCounts[]> } {
  const tallies: Tally[] = [];
  const T = config.neuron.timeSteps;
  const add = (layer: number, site: SpikeSite, spikes: tf.Tensor): void => {
    const [, , channels = 0] = spikes.shape;
    tallies.push({ layer, site, perToken: tf.keep(tf.sum(spikes, [0, 2])), slots: T * channels });
  };
  const observe: SpikeObserver = ({ layer, site, spikes }) => tf.tidy(() => {
    if (site === 'attention') {
      // Whole numbers; where they were made from a mean over time, rounding removes the division's error.
      tallies.push({ layer, site, perToken: tf.keep(tf.reshape(tf.sum(tf.round(spikes), 1), [-1])), slots: null });
    } else if (site === 'query') {
      tf.split(spikes as tf.Tensor3D, 3, 2).forEach((part, i) => add(layer, (['query', 'key', 'value'] as const)[i] as SpikeSite, part));
    } else {
      add(layer, site, spikes);
    }
  });
  const read = async (tokens: CountedTokens): Promise<OpCounts[]> => {
    const perSequence: SiteCounts[][] = Array.from({ length: tokens.batch }, () => []);
    for (const tally of tallies) {
      const values = await tally.perToken.data();
      perSequence.forEach((sites, row) => sites.push(siteCounts(tally, values.slice(row * tokens.length, (row + 1) * tokens.length), { config, tokens })));
      tally.perToken.dispose();
    }
    tallies.length = 0;
    return perSequence.map((sites) => ({ tokens: tokens.length, sites, ...denseCounts(config, tokens) }));
  };
  return { observe, read };
}

/** Spikes, chances and accumulates of one site in one sequence. A query spike meets every causal key; a key or value spike
 *  costs nothing by itself, since queries and attention spikes drive those sums. */
function siteCounts(tally: Tally, perToken: ArrayLike<number>, of: { config: StudentConfig; tokens: CountedTokens }): SiteCounts {
  const { config, tokens } = of;
  let [spikes, accumulates] = [0, 0];
  for (let i = 0; i < perToken.length; i++) {
    const count = perToken[i] as number;
    spikes += count;
    accumulates += count * fanOut(tally.site, config, tokens.offset + i + 1);
  }
  const slots = tally.slots === null ? causalPairs(tokens) * config.heads * config.neuron.timeSteps : tally.slots * tokens.length;
  return { layer: tally.layer, site: tally.site, spikes, slots, accumulates };
}

/** What stays real-valued per sequence (final norm's scale, head), and the query·key pairs compared. */
function denseCounts(config: StudentConfig, tokens: CountedTokens): { macs: number; popcounts: number } {
  return {
    macs: tokens.length * (config.hiddenSize + config.hiddenSize * config.vocabSize),
    popcounts: causalPairs(tokens) * config.heads * config.layers * config.neuron.timeSteps,
  };
}
