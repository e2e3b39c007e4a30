import { expect } from 'chai';

import type { Crew } from '../../../src/core/engine/crew.js';
import type { Who } from '../../../src/core/engine/pace.js';
import { createPace } from '../../../src/core/engine/pace.js';

const JOB = { tokens: 1, start: 0, headFirst: 0, headCount: 1 };

/** A crew whose jobs take as long as `cost` says, on a clock of its own; returns who ran each job. */
function paced(threads: number, cost: (who: Who, job: number) => number, jobs: number, first: Who = 'all'): Who[] {
  let clock = 0;
  const ran: Who[] = [];
  const crew: Crew = { threads, dispose: () => undefined, run: (_job, who) => { clock += cost(who, ran.length); ran.push(who); } };
  const pace = createPace(() => clock, first);
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
    const back = paced(2, (who, job) => (who === 'alone' ? 10 : job < 1000 ? 50 : 6), 4000);
    expect(share(back.slice(2600), 'all')).to.be.above(0.9);
  });

  it('finds the threads where it has begun alone', () => {
    const ran = paced(2, (who) => (who === 'all' ? 6 : 10), 640, 'alone');
    expect(ran[0]).to.equal('alone');
    expect(share(ran.slice(8), 'all')).to.be.above(0.95);
  });

  it('loses less than 3 % to trials where threads take three times as long', () => {
    const cost = (who: Who): number => (who === 'all' ? 9 : 3);
    const spent = paced(2, cost, 2000, 'alone').reduce((sum, who) => sum + cost(who), 0);
    expect(spent).to.be.below(1.03 * 2000 * cost('alone'));
  });

  it('decides long jobs by one of each', () => {
    expect(paced(2, (who) => (who === 'all' ? 150 : 100), 8)).to.deep.equal(['all', ...Array<Who>(7).fill('alone')]);
    expect(paced(2, (who) => (who === 'all' ? 60 : 100), 8, 'alone')).to.deep.equal(['alone', ...Array<Who>(7).fill('all')]);
  });

  it('has nothing to choose with one thread', () => {
    expect(share(paced(1, () => 1, 200), 'alone')).to.equal(1);
  });
});
