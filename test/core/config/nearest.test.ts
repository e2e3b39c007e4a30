import { expect } from 'chai';

import { editDistance, nearestOf } from '../../../src/core/config/nearest.js';

describe('nearest key', () => {
  it('counts inserts, deletes, substitutions and swaps of neighbours as one edit each', () => {
    expect(editDistance('', 'abc')).to.equal(3);
    expect(editDistance('abc', '')).to.equal(3);
    expect(editDistance('steps', 'steps')).to.equal(0);
    expect(editDistance('stpes', 'steps')).to.equal(1);
    expect(editDistance('step', 'steps')).to.equal(1);
    expect(editDistance('kitten', 'sitting')).to.equal(3);
  });

  it('prefers the same group, and finds a right word in a wrong group', () => {
    const keys = ['train', 'train.steps', 'student.timeSteps', 'corpus.stories.seed', 'seed'];
    expect(nearestOf('train.step', keys)).to.equal('train.steps');
    expect(nearestOf('time_steps', keys)).to.equal('student.timeSteps');
    expect(nearestOf('seeds', keys)).to.equal('seed');
    expect(nearestOf('corpus.stories.sed', keys)).to.equal('corpus.stories.seed');
    expect(nearestOf('anything', [])).to.equal(null);
  });
});
