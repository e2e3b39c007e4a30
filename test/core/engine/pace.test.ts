import { expect } from 'chai';

import type { Crew } from '../../../src/core/engine/crew.js';
import { createPace } from '../../../src/core/engine/pace.js';

const JOB = { tokens: 1, start: 0, headFirst: 0, headCount: 1 };

/** A crew whose jobs take as long as `cost` says, on a clock of its own; returns who ran each job. */
function paced(threads: number, cost: (who: 'all' | 'alone', job: number) => number, jobs: number): string[] {
  let clock = 0;
  const ran: ('all' | 'alone')[] = [];
  const crew: Crew = { threads, dispose: () => undefined, run: (_job, who) => { clock += cost(who, ran.length); ran.push(who); } };
  const pace = createPace(() => clock);
  for (let i = 0; i < jobs; i++) pace.run(crew, JOB);
  return ran;
}

const share = (ran: readonly string[], who: string): number => ran.filter((name) => name === who).length / ran.length;

describe('pace', () => {
  it('uses all threads while they are faster, and tries one only now and then', () => {
    const ran = paced(2, (who) => (who === 'all' ? 6 : 10), 640);
    expect(share(ran, 'all')).to.be.above(0.95);
    expect(ran).to.include('alone');
  });

  it('works alone where waiting for another core is slower', () => {
    expect(share(paced(2, (who) => (who === 'all' ? 300 : 10), 640), 'alone')).to.be.above(0.95);
  });

  it('changes its mind when the machine does', () => {
    const ran = paced(2, (who, job) => (who === 'alone' ? 10 : job < 1000 ? 6 : 50), 2000);
    expect(share(ran.slice(100, 1000), 'all')).to.be.above(0.9);
    expect(share(ran.slice(1200), 'alone')).to.be.above(0.9);
    const back = paced(2, (who, job) => (who === 'alone' ? 10 : job < 1000 ? 50 : 6), 2000);
    expect(share(back.slice(1400), 'all')).to.be.above(0.9);
  });

  it('has nothing to choose with one thread', () => {
    expect(share(paced(1, () => 1, 200), 'alone')).to.equal(1);
  });
});
