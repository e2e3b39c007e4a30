import { expect } from 'chai';

import { addWork, counterCount, meetingCounter, NO_WORK, passCounts, spikeCounter } from '../../../src/core/engine/counters.js';
import { engineShape } from '../../../src/core/engine/layout.js';
import { partOf } from '../../../src/core/engine/division.js';
import { TINY_STUDENT } from '../../support/tiny-models.js';

// D 8, F 16, H 2, two layers, T 4, pairs; so K 4 and an entrance of 16.
const shape = engineShape(TINY_STUDENT);
const SITES = ['attention_entry', 'query', 'key', 'value', 'attention', 'attention_out', 'feed_forward_entry', 'hidden'] as const;

/** Counters with `base + n` spikes at the n-th site of layer 0, nothing in layer 1. */
function counters(base: number): Float64Array {
  const values = new Float64Array(counterCount(2));
  SITES.forEach((site, n) => { values[spikeCounter(0, site)] = base + n; });
  values[meetingCounter(0)] = 77;
  values[values.length - 2] = 1000;
  values[values.length - 1] = 2000;
  return values;
}

describe('engine counters', () => {
  it('become spikes, chances and accumulates of each site, by hand', () => {
    // Three tokens at positions 5, 6, 7: they meet 6 + 7 + 8 = 21 keys. The head runs for one.
    const counts = passCounts(counters(10), { tokens: 3, start: 5, headTokens: 1 }, { config: TINY_STUDENT, shape, sites: SITES });
    expect(counts.sites.slice(0, 8).map(({ site, spikes, slots, accumulates }) => [site, spikes, slots, accumulates])).to.deep.equal([
      ['attention_entry', 10, 3 * 4 * 16, 10 * 24],
      ['query', 11, 3 * 4 * 8, 77],
      ['key', 12, 3 * 4 * 8, 0],
      ['value', 13, 3 * 4 * 8, 0],
      ['attention', 14, 21 * 2 * 4, 14 * 4],
      ['attention_out', 15, 3 * 4 * 8, 15 * 8],
      ['feed_forward_entry', 16, 3 * 4 * 16, 16 * 16],
      ['hidden', 17, 3 * 4 * 16, 17 * 8],
    ]);
    expect(counts.sites.slice(8).every(({ layer, spikes, accumulates }) => layer === 1 && spikes === 0 && accumulates === 0)).to.equal(true);
    expect(counts).to.include({ tokens: 3, macs: 8 + 8 * 13, popcounts: 21 * 2 * 2 * 4 });
  });

  it('add up to the work done', () => {
    const pass = { counters: counters(10), counts: passCounts(counters(10), { tokens: 3, start: 5, headTokens: 1 }, { config: TINY_STUDENT, shape, sites: SITES }), headBytes: 50, shape };
    const once = addWork(NO_WORK, pass);
    // Per layer: 3·4·(16 + 4·8 + 16 + 16) membranes of channels and 168 of pairs.
    expect(once).to.deep.equal({
      tokens: 3, additions: 1000, popcounts: 336, membraneUpdates: 2 * (12 * 80 + 168), weightBytes: 2000, cacheBytes: 8 * (336 + 14), headBytes: 50,
    });
    expect(addWork(once, pass).membraneUpdates).to.equal(2 * once.membraneUpdates);
  });
});

describe('division of work', () => {
  it('covers everything once, as evenly as it goes', () => {
    for (const units of [0, 1, 2, 7, 12, 50_272]) {
      for (const parts of [1, 2, 3, 5]) {
        const shares = Array.from({ length: parts }, (_, part) => partOf(units, { part, parts }));
        expect(shares[0]![0]).to.equal(0);
        expect(shares.at(-1)![1]).to.equal(units);
        shares.slice(1).forEach(([from], i) => expect(from).to.equal(shares[i]![1]));
        const sizes = shares.map(([from, to]) => to - from);
        expect(Math.max(...sizes) - Math.min(...sizes)).to.be.at.most(1);
      }
    }
  });
});
