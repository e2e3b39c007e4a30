import { expect } from 'chai';

import type { TasksView } from '../../src/cli/render-tasks.js';
import { renderTasks } from '../../src/cli/render-tasks.js';

const skill = { retained: 0.8123, retainedInterval: { low: 0.7, high: null }, verdict: 'both are above chance' };
const guessing = { retained: null, retainedInterval: null, verdict: 'the teacher is not distinguishable from chance: a share of its skill says nothing' };
const value = (of: number, stderr: number | null = null) => ({ value: of, stderr });

const VIEW: TasksView = {
  isPartial: true, contextLength: 128, files: ['out/a.json'], elapsedMs: 1500,
  results: {
    piqa: {
      task: 'piqa', shots: 5, items: { effective: 1838, scored: 1000 }, truncatedItems: 3, overlongItems: 2, unigram: { counts: 'benchmark' },
      metrics: {
        acc: { chance: 0.5, unigram: value(0.52, 0.01), student: value(0.58, 0.0115), teacher: value(0.6, 0.01), skill },
        acc_norm: { chance: 0.5, unigram: value(0.5), student: value(0.5), teacher: value(0.49), skill: guessing },
      },
    },
    wikitext: {
      task: 'wikitext', shots: 0, items: { effective: 60, scored: 60 }, truncatedItems: 0, overlongItems: 0, unigram: { counts: 'benchmark' },
      metrics: { word_perplexity: { chance: 51000, unigram: value(1200.5), teacher: value(35.123) } },
    },
  },
};

describe('rendering tasks', () => {
  const text = renderTasks(VIEW);

  it('puts chance, the unigram model and the skill kept beside every score', () => {
    expect(text).to.match(/piqa +acc +5 +1000 +58\.0 ±1\.1 +60\.0 ±1\.0 +50\.0 +52\.0 +81 % \(70 to above any\)/);
    expect(text).to.match(/piqa +acc_norm .*cannot be told/);
    expect(text).to.match(/wikitext +word_perplexity +0 +60 +35\.12 +51,000 +1200\.5/);
  });

  it('says what a share cannot tell, what was cut, and that the run is partial', () => {
    expect(text).to.contain('piqa acc_norm: the teacher is not distinguishable from chance').and.not.to.contain('piqa acc: ');
    expect(text.split('\n')[0]).to.equal('PARTIAL: interrupted after 1,060 of the 1,898 items of the tasks begun.');
    expect(text).to.contain('3 items lost the left end').and.to.contain('in 2 items an answer alone is longer').and.to.contain('right and wrong alike').and.to.contain('written: out/a.json');
  });
});
