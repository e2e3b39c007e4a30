import { expect } from 'chai';

import { denseEnergyPj, studentEnergy } from '../../../src/core/energy/energy.js';
import { ShapeError } from '../../../src/core/errors.js';
import type { OpCounts } from '../../../src/core/types.js';

const constants = { name: 'round', macPj: 4, acPj: 1 };
const dense = { attentionMacs: 0, blockMacs: 100, readoutMacs: 25 };
const counts: OpCounts = {
  tokens: 5, macs: 25, popcounts: 999,
  sites: [
    { layer: 0, site: 'attention_entry', spikes: 6, slots: 10, accumulates: 36 },
    { layer: 0, site: 'hidden', spikes: 2, slots: 10, accumulates: 4 },
  ],
};

describe('energy', () => {
  it('prices accumulates and multiplies as worked by hand', () => {
    // Blocks: 40 ACs = 40 pJ against 400 pJ. All: 40 + 100 = 140 pJ over 5 tokens, against 500 pJ.
    expect(studentEnergy(counts, dense, constants)).to.deep.equal({ pjPerToken: 28, ratioBlocks: 0.1, ratioWithHead: 0.28 });
    expect(denseEnergyPj(dense, constants)).to.equal(500);
  });

  it('reproduces k·T·rate with the 45 nm constants: a rate of 15 % at T = 2 is 5.87 % of the blocks', () => {
    const denseMacs = 1_000_000;
    const spiking = { ...counts, sites: [{ ...counts.sites[0]!, accumulates: 0.15 * 2 * denseMacs }] };
    const { ratioBlocks } = studentEnergy(spiking, { attentionMacs: 0, blockMacs: denseMacs, readoutMacs: 0 }, { name: '45nm', macPj: 4.6, acPj: 0.9 });
    expect(ratioBlocks).to.be.closeTo(0.0587, 5e-5);
  });

  it('refuses to divide by no work', () => {
    for (const [c, d] of [[{ ...counts, tokens: 0 }, dense], [counts, { attentionMacs: 0, blockMacs: 0, readoutMacs: 1 }]] as const) {
      expect(() => studentEnergy(c, d, constants)).to.throw(ShapeError, 'at least one processed token').with.property('exitCode', 5);
    }
  });
});
