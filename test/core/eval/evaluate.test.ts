import { expect } from 'chai';

import { BispikError, ShapeError, UsageError } from '../../../src/core/errors.js';
import { evaluate } from '../../../src/core/eval/evaluate.js';
import type { EvalOptions, EvalReport } from '../../../src/core/eval/evaluate.js';
import { silentReporter } from '../../../src/core/types.js';
import { simpleCounts, tableLanguageModel, uniformLanguageModel } from '../../support/fake-language-model.js';

const ctx = { reporter: silentReporter, signal: new AbortController().signal };
const constants = { name: 'round', macPj: 4, acPj: 1 };
const uniformStudent = () => uniformLanguageModel({ kind: 'student', count: simpleCounts });
/** After a comes b with probability 5/8, after b comes a with 5/8 (and so on in a ring of 4). */
const ring = () => tableLanguageModel([0, 1, 2, 3].map((row) => [0, 1, 2, 3].map((column) => ((row + 1) % 4 === column ? Math.log(5) : 0))));

function run(options: Partial<EvalOptions>): Promise<EvalReport> {
  return evaluate({ student: null, teacher: null, sequences: [[0, 1, 2, 3]], contextLength: null, stride: null, ngramSequences: null, constants, conventions: [], ...options }, ctx);
}

async function failure(options: Partial<EvalOptions>): Promise<BispikError> {
  const error: unknown = await run(options).catch((e: unknown) => e);
  expect(error).to.be.instanceOf(BispikError);
  return error as BispikError;
}

describe('evaluate', () => {
  it('sets a student beside its teacher, every number worked by hand', async () => {
    // Windows of 2 inputs, then 1: 3 tokens, 3 + 1 = 4 pairs. D=2, F=8, V=4: block MACs 3·(16 + 32) + 4·4 = 160, readout 3·(2 + 8) = 30.
    // Counted: 6 accumulates and 10 macs per token.
    const report = await run({ student: uniformStudent(), teacher: ring(), contextLength: 2 });
    expect(report.tokens).to.equal(3);
    expect(report.processedTokens).to.equal(3);
    expect([report.contextLength, report.stride]).to.deep.equal([2, 2]);
    const student = report.student!;
    expect(student.nll).to.be.closeTo(Math.log(4), 1e-12);
    expect(student.perplexity).to.be.closeTo(4, 1e-11);
    expect(student.firingRate).to.equal(0.75);
    expect(student.sites).to.deep.equal([{ layer: 0, site: 'query', firingRate: 0.75 }]);
    expect(student.ops).to.deep.equal({ acs: 18, macs: 30, popcounts: 4 });
    expect(student.energy).to.deep.equal({ pjPerToken: (18 + 120) / 3, ratioBlocks: 18 / 640, ratioWithHead: 138 / 760, baseline: 'teacher' });
    expect([student.timeSteps, student.backend]).to.deep.equal([2, 'fake']);
    const teacher = report.teacher!;
    expect(teacher.nll).to.be.closeTo(Math.log(8 / 5), 1e-7);
    expect(teacher.ops.macs).to.equal(190);
    expect(teacher.energy.pjPerToken).to.be.closeTo(760 / 3, 1e-9);
  });

  it('compares with a dense model of the same shape where there is no teacher', async () => {
    const report = await run({ student: uniformStudent(), contextLength: 2 });
    expect(report.teacher).to.equal(null);
    expect(report.student!.energy.baseline).to.equal('dense twin');
    expect(report.student!.energy.ratioBlocks).to.equal(18 / 640);
  });

  it('compares with the teacher\'s shape where the two differ', async () => {
    const teacher = uniformLanguageModel({ shape: { layers: 2 } });
    expect((await run({ student: uniformStudent(), teacher, contextLength: 2 })).student!.energy.ratioBlocks).to.equal(18 / 1280);
  });

  it('leaves the student out of a teacher\'s report', async () => {
    const report = await run({ teacher: ring() });
    expect(report).not.to.have.property('student');
    expect(report).to.include.keys('tokens', 'teacher', 'unigram', 'bigram');
    expect([report.contextLength, report.stride]).to.deep.equal([16, 16]);
  });

  it('counts overlapping windows as work, not as tokens', async () => {
    // Windows [0,1], [1,2] (and no more): 4 processed for 3 scored; ratios stay per processed work.
    const report = await run({ student: uniformStudent(), contextLength: 2, stride: 1 });
    expect([report.tokens, report.processedTokens]).to.deep.equal([3, 4]);
    expect(report.student!.ops.acs).to.equal(24);
    expect(report.student!.energy.pjPerToken).to.equal(46);
  });

  it('lets n-grams learn as they go, or from a text', async () => {
    const adaptive = await run({ teacher: ring(), sequences: [[0, 1, 0, 1]] });
    expect(adaptive.ngramCounts).to.equal('adaptive');
    expect(adaptive.unigram.nll).to.be.closeTo((Math.log(4) + Math.log(8) + Math.log(8 / 3)) / 3, 1e-12);
    expect(adaptive.bigram.nll).to.be.closeTo((Math.log(4) + Math.log(8) + Math.log(16 / 11)) / 3, 1e-12);
    // Fitted on 0 1 0 1 0: unigram add-one (3+1)/9 and (2+1)/9; bigram 0→1 (2 + 1·3/9)/3 = 7/9, 1→0 (2 + 1·4/9)/3 = 22/27.
    const fitted = await run({ teacher: ring(), sequences: [[0, 1, 0, 1]], ngramSequences: [[0, 1], [0, 1, 0]] });
    expect(fitted.ngramCounts).to.equal('training');
    expect(fitted.unigram.nll).to.be.closeTo((2 * Math.log(3) + Math.log(9 / 4)) / 3, 1e-12);
    expect(fitted.bigram.nll).to.be.closeTo((2 * Math.log(9 / 7) + Math.log(27 / 22)) / 3, 1e-12);
  });

  it('survives JSON unchanged', async () => {
    const report = await run({ student: uniformStudent(), teacher: ring() });
    expect(JSON.parse(JSON.stringify(report))).to.deep.equal(report);
  });

  it('refuses no model, foreign vocabularies, foreign ids, a long context and a bad stride', async () => {
    const teacher = ring();
    expect(await failure({})).to.be.instanceOf(UsageError).with.property('message').that.contains('no model');
    expect(await failure({ student: uniformStudent(), teacher: uniformLanguageModel({ shape: { vocabSize: 5 } }) }))
      .to.be.instanceOf(ShapeError).with.property('message').that.contains('4 tokens, the teacher\'s 5');
    expect(await failure({ teacher, sequences: [[0, 4]] })).to.be.instanceOf(ShapeError).with.property('message').that.contains('the id 4');
    const long = await failure({ teacher, contextLength: 17 });
    expect(long).to.be.instanceOf(UsageError).with.property('message').that.contains('17 tokens').and.contains('16');
    expect(long.suggestions).to.deep.equal(['--context 16']);
    expect(await failure({ teacher, stride: 17 })).to.be.instanceOf(UsageError).with.property('message').that.contains('stride');
    expect(await failure({ teacher, sequences: [[1]] })).to.be.instanceOf(ShapeError);
    expect(await failure({ teacher, ngramSequences: [[]] })).to.be.instanceOf(UsageError);
  });

  it('refuses a student that counts nothing, or not everything', async () => {
    expect(await failure({ student: uniformLanguageModel({ kind: 'student' }) })).to.be.instanceOf(ShapeError).with.property('message').that.contains('counts no spikes');
    const forgetful = uniformLanguageModel({ kind: 'student', count: (from, to) => simpleCounts(from, to - 1) });
    expect(await failure({ student: forgetful })).to.be.instanceOf(ShapeError).with.property('message').that.contains('2 tokens of the 3');
  });
});
