import type { OpCounts, SiteCounts, SpikeSite, WorkDone } from '../types.js';
import { SPIKE_SITES } from '../types.js';
import type { StudentConfig } from '../student/config.js';
import { causalPairs, fanOut } from '../student/fan-out.js';
import type { EngineShape } from './layout.js';

/**
 * Counters of one call, one float64 each, for every thread: per layer the spikes of each site and how many keys the query spikes
 * met; then, for all of it, what the row kernels report.
 */
const PER_LAYER = SPIKE_SITES.length + 1;
const MEETINGS = SPIKE_SITES.length;
/** Additions and bytes of weights, as `addRows…` count them. */
const ROW_COUNTERS = 2;

export function counterCount(layers: number): number {
  return layers * PER_LAYER + ROW_COUNTERS;
}

/** Index of a site's spikes. */
export function spikeCounter(layer: number, site: SpikeSite): number {
  return layer * PER_LAYER + SPIKE_SITES.indexOf(site);
}

/** Index of Σ over query spikes of the keys they meet. */
export function meetingCounter(layer: number): number {
  return layer * PER_LAYER + MEETINGS;
}

/** Byte offset of the two counters that the row kernels add to. */
export function rowCounterOffset(layers: number): number {
  return 8 * layers * PER_LAYER;
}

export const NO_WORK: WorkDone = { tokens: 0, additions: 0, popcounts: 0, membraneUpdates: 0, weightBytes: 0, cacheBytes: 0, headBytes: 0 };

/** Tokens of one call and where they stand, and how many of them went through the head. */
export interface PassedTokens {
  readonly tokens: number;
  readonly start: number;
  readonly headTokens: number;
}

/** Channels of a site per token and time step; the attention site has pairs instead. */
function channelsOf(site: SpikeSite, shape: EngineShape): number {
  switch (site) {
    case 'attention_entry': case 'feed_forward_entry': return shape.isOnOff ? 2 * shape.width : shape.width;
    case 'hidden': return shape.feedForwardWidth;
    case 'attention': return shape.heads;
    default: return shape.width;
  }
}

/** Operation counts of one call from the summed counters of all threads. `sites` are those the student has, in forward order. */
export function passCounts(counters: Float64Array, passed: PassedTokens, model: { config: StudentConfig; shape: EngineShape; sites: readonly SpikeSite[] }): OpCounts {
  const { config, shape, sites } = model;
  const pairs = causalPairs({ length: passed.tokens, offset: passed.start });
  const found: SiteCounts[] = [];
  for (let layer = 0; layer < shape.layers; layer++) {
    for (const site of sites) {
      const spikes = counters[spikeCounter(layer, site)]!;
      const accumulates = site === 'query' ? counters[meetingCounter(layer)]! : spikes * fanOut(site, config, 0);
      found.push({ layer, site, spikes, slots: shape.timeSteps * channelsOf(site, shape) * (site === 'attention' ? pairs : passed.tokens), accumulates });
    }
  }
  return {
    tokens: passed.tokens,
    sites: found,
    macs: passed.headTokens * (shape.width + shape.width * shape.vocabSize),
    popcounts: pairs * shape.heads * shape.layers * shape.timeSteps,
  };
}

/** `work` plus that of one call. */
export function addWork(work: WorkDone, pass: { counters: Float64Array; counts: OpCounts; headBytes: number; shape: EngineShape }): WorkDone {
  const { counters, counts, shape } = pass;
  const attentionSpikes = counts.sites.reduce((sum, { site, spikes }) => sum + (site === 'attention' ? spikes : 0), 0);
  return {
    tokens: work.tokens + counts.tokens,
    additions: work.additions + counters[counters.length - 2]!,
    popcounts: work.popcounts + counts.popcounts,
    membraneUpdates: work.membraneUpdates + counts.sites.reduce((sum, { slots }) => sum + slots, 0),
    weightBytes: work.weightBytes + counters[counters.length - 1]!,
    cacheBytes: work.cacheBytes + 8 * shape.headWords * (counts.popcounts + attentionSpikes),
    headBytes: work.headBytes + pass.headBytes,
  };
}
