import { SPIKE_SITES } from '../types.js';
import type { OpCounts, SiteCounts, SpikeSite } from '../types.js';

/** Firing rate of one site of one layer. */
export interface SiteRate {
  readonly layer: number;
  readonly site: SpikeSite;
  /** Spikes per slot (neuron and time step), 0–1. */ readonly firingRate: number;
}

/** No work at all; the neutral element of `addCounts`. */
export const NO_COUNTS: OpCounts = { tokens: 0, sites: [], macs: 0, popcounts: 0 };

/** Sum of two counts, site by site; sites come out by layer and, within a layer, in forward order. */
export function addCounts(a: OpCounts, b: OpCounts): OpCounts {
  const bySite = new Map<string, SiteCounts>();
  for (const site of [...a.sites, ...b.sites]) {
    const key = `${site.layer} ${site.site}`;
    const known = bySite.get(key);
    bySite.set(key, known === undefined ? site : {
      layer: site.layer,
      site: site.site,
      spikes: known.spikes + site.spikes,
      slots: known.slots + site.slots,
      accumulates: known.accumulates + site.accumulates,
    });
  }
  const order = (site: SiteCounts): number => site.layer * SPIKE_SITES.length + SPIKE_SITES.indexOf(site.site);
  return {
    tokens: a.tokens + b.tokens,
    sites: [...bySite.values()].sort((x, y) => order(x) - order(y)),
    macs: a.macs + b.macs,
    popcounts: a.popcounts + b.popcounts,
  };
}

/** Spike-driven accumulates of all sites together. */
export function totalAccumulates(counts: OpCounts): number {
  return counts.sites.reduce((sum, site) => sum + site.accumulates, 0);
}

/** Spikes over slots, all sites together; 0 where nothing could have fired. */
export function meanFiringRate(counts: OpCounts): number {
  const spikes = counts.sites.reduce((sum, site) => sum + site.spikes, 0);
  const slots = counts.sites.reduce((sum, site) => sum + site.slots, 0);
  return slots === 0 ? 0 : spikes / slots;
}

/** Firing rate of each site, in the order of the counts. */
export function siteFiringRates(counts: OpCounts): readonly SiteRate[] {
  return counts.sites.map(({ layer, site, spikes, slots }) => ({ layer, site, firingRate: slots === 0 ? 0 : spikes / slots }));
}
