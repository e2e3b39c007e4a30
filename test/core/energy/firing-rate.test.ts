import { expect } from 'chai';

import { addCounts, meanFiringRate, NO_COUNTS, siteFiringRates, totalAccumulates } from '../../../src/core/energy/firing-rate.js';
import type { OpCounts } from '../../../src/core/types.js';

const first: OpCounts = {
  tokens: 2, macs: 20, popcounts: 3,
  sites: [
    { layer: 1, site: 'hidden', spikes: 1, slots: 10, accumulates: 4 },
    { layer: 0, site: 'value', spikes: 5, slots: 20, accumulates: 7 },
  ],
};
const second: OpCounts = {
  tokens: 1, macs: 10, popcounts: 1,
  sites: [
    { layer: 0, site: 'query', spikes: 0, slots: 10, accumulates: 0 },
    { layer: 1, site: 'hidden', spikes: 4, slots: 10, accumulates: 16 },
  ],
};

describe('firing rates', () => {
  it('adds counts site by site and orders them by layer and place in the block', () => {
    expect(addCounts(first, second)).to.deep.equal({
      tokens: 3, macs: 30, popcounts: 4,
      sites: [
        { layer: 0, site: 'query', spikes: 0, slots: 10, accumulates: 0 },
        { layer: 0, site: 'value', spikes: 5, slots: 20, accumulates: 7 },
        { layer: 1, site: 'hidden', spikes: 5, slots: 20, accumulates: 20 },
      ],
    });
  });

  it('does not change what it adds', () => {
    addCounts(first, second);
    expect(first.sites[0]).to.deep.equal({ layer: 1, site: 'hidden', spikes: 1, slots: 10, accumulates: 4 });
  });

  it('is spikes over slots, over all sites and per site', () => {
    const both = addCounts(first, second);
    expect(meanFiringRate(both)).to.equal(10 / 50);
    expect(siteFiringRates(both)).to.deep.equal([
      { layer: 0, site: 'query', firingRate: 0 },
      { layer: 0, site: 'value', firingRate: 0.25 },
      { layer: 1, site: 'hidden', firingRate: 0.25 },
    ]);
    expect(totalAccumulates(both)).to.equal(27);
  });

  it('is 0 where nothing could fire', () => {
    expect(meanFiringRate(NO_COUNTS)).to.equal(0);
    expect(siteFiringRates({ ...NO_COUNTS, sites: [{ layer: 0, site: 'key', spikes: 0, slots: 0, accumulates: 0 }] })[0]!.firingRate).to.equal(0);
  });
});
