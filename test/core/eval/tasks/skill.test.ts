import { expect } from 'chai';

import { createRandom } from '../../../../src/core/corpus/random.js';
import { skillRetained as skillBesideUnigram } from '../../../../src/core/eval/tasks/skill.js';
import type { PairedOutcomes, SkillReport } from '../../../../src/core/eval/tasks/skill.js';

/** With a unigram model that guesses. */
const skillRetained = (of: Omit<PairedOutcomes, 'unigram'>): SkillReport => skillBesideUnigram({ ...of, unigram: of.chance });

/** 0/1 outcomes with given shares, the student right more often where the teacher is. */
function draw(n: number, shares: { readonly teacher: number; readonly whenRight: number; readonly whenWrong: number }, seed: number) {
  const random = createRandom(seed);
  const teacher = Array.from({ length: n }, () => Number(random.next() < shares.teacher));
  const student = teacher.map((right) => Number(random.next() < (right ? shares.whenRight : shares.whenWrong)));
  return { teacher, student, chance: new Array<number>(n).fill(0.25) };
}

describe('above-chance skill retained', () => {
  it('is (student − chance) / (teacher − chance), chance item by item', () => {
    const teacher = [...new Array<number>(80).fill(1), ...new Array<number>(20).fill(0)];
    const student = [...new Array<number>(60).fill(1), ...new Array<number>(40).fill(0)];
    const chance = teacher.map((_, i) => (i < 50 ? 0.5 : 0.25));
    const report = skillRetained({ student, teacher, chance });
    expect(report.retained).to.be.closeTo((0.6 - 0.375) / (0.8 - 0.375), 1e-12);
    expect(report.verdict).to.equal('both are above chance');
    expect(report.retainedInterval!.low).to.be.below(report.retained!);
    expect(report.retainedInterval!.high).to.be.above(report.retained!);
  });

  it('is not given where the teacher itself may be guessing, though the raw ratio looks good', () => {
    const report = skillRetained(draw(300, { teacher: 0.26, whenRight: 0.3, whenWrong: 0.24 }, 3));
    expect(report.retained).to.equal(null);
    expect(report.retainedInterval).to.equal(null);
    expect(report.verdict).to.contain('teacher is not distinguishable from chance');
    expect(report.teacherInterval.low).to.be.below(0);
  });

  it('tells a student that guesses from one that does not, and a teacher that is worse than guessing', () => {
    expect(skillRetained(draw(500, { teacher: 0.6, whenRight: 0.25, whenWrong: 0.25 }, 1)).verdict).to.contain('the student is not distinguishable');
    expect(skillRetained(draw(500, { teacher: 0.6, whenRight: 0.9, whenWrong: 0.1 }, 2)).verdict).to.equal('both are above chance');
    expect(skillRetained(draw(500, { teacher: 0.1, whenRight: 0.9, whenWrong: 0.1 }, 2)).verdict).to.contain('below chance');
  });

  it('says little where token frequencies alone do as well as the teacher', () => {
    const outcomes = draw(500, { teacher: 0.6, whenRight: 0.9, whenWrong: 0.1 }, 2);
    const report = skillBesideUnigram({ ...outcomes, unigram: outcomes.teacher.map((_, i) => outcomes.teacher[(i + 1) % 500]!) });
    expect(report.retained).to.be.above(0.5);
    expect(report.teacherAboveUnigram).to.equal(0);
    expect(report.verdict).to.contain('not distinguishable from token frequencies alone');
  });

  it('knows little of a teacher that got nothing right, or everything', () => {
    const all = (value: number) => new Array<number>(60).fill(value);
    const never = skillRetained({ student: all(0), teacher: all(0), chance: all(1e-9) });
    expect(never.verdict).to.contain('not distinguishable');
    expect(never.teacherInterval.high).to.be.closeTo(0.05, 1e-6);
    expect(skillRetained({ student: all(1), teacher: all(1), chance: all(0.96) }).verdict).to.contain('not distinguishable');
    expect(skillRetained({ student: all(1), teacher: all(1), chance: all(0.5) }).retained).to.equal(1);
    expect(skillRetained({ student: all(0), teacher: all(0), chance: all(0.25) }).verdict).to.contain('below chance');
  });

  it('has an interval that covers the truth about 95 times in 100', function () {
    this.timeout(30_000);
    // True student share: .6·.8 + .4·.2 = .56; retained (.56 − .25) / (.6 − .25).
    const truth = 0.31 / 0.35;
    let covered = 0;
    for (let seed = 0; seed < 60; seed++) {
      const { retainedInterval } = skillRetained(draw(150, { teacher: 0.6, whenRight: 0.8, whenWrong: 0.2 }, 100 + seed));
      if (retainedInterval!.low! <= truth && truth <= retainedInterval!.high!) covered += 1;
    }
    expect(covered).to.be.within(51, 60);
  });

  it('is narrower where student and teacher fail on the same items', () => {
    const paired = draw(600, { teacher: 0.6, whenRight: 0.95, whenWrong: 0.05 }, 5);
    const shuffled = { ...paired, student: paired.student.map((_, i) => paired.student[(i + 301) % 600]!) };
    const width = (of: typeof paired): number => { const { low, high } = skillRetained(of).retainedInterval!; return high! - low!; };
    expect(width(paired)).to.be.below(0.7 * width(shuffled));
  });

  it('is the same every time', () => {
    const outcomes = draw(100, { teacher: 0.7, whenRight: 0.8, whenWrong: 0.2 }, 9);
    expect(skillRetained(outcomes)).to.deep.equal(skillRetained(outcomes));
  });
});
