import { expect } from 'chai';

import { createSpikeWatch } from '../../../src/core/train/health.js';
import type { SiteRateValue } from '../../../src/core/train/step.js';

describe('train/health', () => {
  const at = (layer: number, site: SiteRateValue['site'], rate: number): SiteRateValue => ({ layer, site, rate });

  it('names a dead and a saturated site once, after three looks in a row', () => {
    const notices: string[] = [];
    const watch = createSpikeWatch((message) => notices.push(message));
    for (let step = 10; step <= 60; step += 10) {
      watch.look(step, [at(0, 'query', 0.1), at(1, 'key', 0.0004), at(2, 'hidden', 0.95)]);
      if (step === 20) expect(notices).to.be.empty;
    }
    expect(notices).to.have.length(2);
    expect(notices[0]).to.match(/^step 30: layer 1, site key is dead: firing rate 0\.00040 /);
    expect(notices[1]).to.match(/^step 30: layer 2, site hidden is saturated: firing rate 0\.95 /);
  });

  it('starts counting again when the site recovers, and tells the other illness apart', () => {
    const notices: string[] = [];
    const watch = createSpikeWatch((message) => notices.push(message));
    const rates = [0, 0, 0.5, 0, 0, 1, 1, 0, 0.001, 0.9, NaN];
    rates.forEach((rate, i) => watch.look(i, [at(0, 'value', rate)]));
    expect(notices).to.be.empty;
    [0, 0, 0, 1, 1, 1].forEach((rate, i) => watch.look(20 + i, [at(0, 'value', rate)]));
    expect(notices.map((notice) => /dead|saturated/.exec(notice)?.[0])).to.deep.equal(['dead', 'saturated']);
  });
});
