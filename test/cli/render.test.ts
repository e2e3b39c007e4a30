import { expect } from 'chai';

import { renderDistill, renderDoctor, renderEval, renderFailure, renderGeneration, renderImport, renderTeacherRun } from '../../src/cli/render.js';

describe('results for people', () => {
  it('distill: losses beside the teacher, signed gaps', () => {
    expect(renderDistill({
      run: 'runs/a', student: 'runs/a/student', steps: 1000, tokens: 1_024_000, skippedSteps: 2, valid: { nll: 3.5, perplexity: 33.1 }, teacher: { nll: 3.45 },
      unigram: { nll: 5.6 }, bigram: { nll: 3.9 }, floor: { nll: 3.25 }, firingRate: 0.08, backend: 'wasm', elapsedMs: 90_000, profile: null,
    })).to.equal([
      'student       runs/a/student',
      'trained       1,000 steps, 2 skipped, 1,024,000 tokens, 1 min 30 s on wasm',
      'firing rate   8.00 %',
      '',
      '         nats/token  to student',
      'student      3.5000',
      'teacher      3.4500     -0.0500',
      'bigram       3.9000     +0.4000',
      'unigram      5.6000     +2.1000',
      'grammar      3.2500     -0.2500',
    ].join('\n'));
  });

  it('distill --profile: kernels under the losses, and what the device can do', () => {
    const text = renderDistill({
      run: 'r', student: 'r/student', steps: 9, tokens: 9, skippedSteps: 0, valid: { nll: 1, perplexity: Math.E }, teacher: { nll: 1 }, unigram: { nll: 1 }, bigram: { nll: 1 },
      firingRate: 0.1, backend: 'webgpu', elapsedMs: 1000,
      profile: {
        path: 'r/profile.json', steps: 5, clock: 'gpu', stepMs: 50, kernelMs: 40, launches: 6, bytes: 503e6, largestGap: { ms: 3, after: 'Add', before: 'Sum' },
        peak: { operationsPerSecond: 1e12, bytesPerSecond: 100e9 },
        kernels: [{ kernel: 'BatchMatMul', launches: 4, ms: 30, share: 0.75, bytes: 3e6, shareOfPeak: 0.5 }, { kernel: 'Odd', launches: 1, ms: 0, share: 0, bytes: 8, shareOfPeak: null }],
      },
    });
    expect(text.slice(text.indexOf('profile '))).to.equal([
      'profile       r/profile.json',
      'step          50 ms, 40 ms of it in kernels (mean of 5 steps)',
      'per step      6 launches, 503.0 MB read and written',
      'largest gap   3 ms between Add and Sum',
      'device        measured at 1,000 GFLOP/s and 100 GB/s',
      '',
      'kernel       launches  ms    share   moved  of peak',
      'BatchMatMul         4  30  75.00 %  3.0 MB  50.00 %',
      'Odd                 1   0   0.00 %     8 B        –',
    ].join('\n'));
  });

  it('train-teacher: losses, and the floor where it is known', () => {
    const view = { path: 'runs/t/teacher', steps: 1, tokens: 512, valid: { nll: 3, perplexity: 20.0855 }, unigram: { nll: 5 }, bigram: { nll: 4 } };
    expect(renderTeacherRun(view)).to.equal([
      'teacher       runs/t/teacher', 'trained       1 step, 512 tokens', 'valid loss    3.0000 nats/token (perplexity 20.09)', 'beside it     bigram 4.0000, unigram 5.0000',
    ].join('\n'));
    expect(renderTeacherRun({ ...view, floor: { nll: 2.5 } })).to.contain('unigram 5.0000; no model can beat 2.5000');
  });

  it('eval of a student: losses, work, rates with layers across', () => {
    const text = renderEval({
      tokens: 2048, unigram: { nll: 0 }, bigram: { nll: 0 }, teacher: { nll: 1, perplexity: Math.E },
      student: {
        nll: 2, perplexity: 7.389, firingRate: 0.1, ops: { acs: 1000, macs: 20, popcounts: 3 }, energy: { pjPerToken: 250.5, ratioBlocks: 0.0587, ratioWithHead: 0.219 },
        account: {
          effectiveRate: 0.12,
          conventions: [{
            convention: 'c', comparisons: [
              { precision: 'float32', ratioBlocks: 0.05, ratioWithHead: 0.2, breakEvenRate: 1.5, verdict: 'less' }, { precision: 'int8', ratioBlocks: 1.25, ratioWithHead: 1.1, breakEvenRate: 0.09, verdict: 'more' },
            ],
          }],
        },
        work: { tokens: 10, membraneUpdates: 12_344, weightBytes: 20_000, headBytes: 1000, cacheBytes: 50 },
        sites: [{ layer: 0, site: 'query', firingRate: 0.05 }, { layer: 0, site: 'hidden', firingRate: 0.1 }, { layer: 1, site: 'query', firingRate: 0.25 }],
      },
    });
    expect(text.split('\n').slice(0, 4)).to.deep.equal(['2,048 tokens scored', '', '         nats/token  perplexity', 'student      2.0000        7.39']);
    expect(text).to.contain('1,000 accumulates, 20 multiply-accumulates, 3 population counts');
    expect(text).to.contain('250.5 pJ/token: 5.87 % of the dense model (blocks), 21.90 % with the head');
    expect(text.split('\n').slice(13, 18)).to.deep.equal([
      'energy at an effective rate of 12.00 %    blocks  with head  break even at',
      'c, dense float32                          5.00 %    20.00 %            any',
      'c, dense int8                           125.00 %   110.00 %         9.00 %',
      'c: more', '',
    ]);
    expect(text.split('\n').slice(-3)).to.deep.equal(['rates   layer 0  layer 1', 'query    5.00 %  25.00 %', 'hidden  10.00 %']);
  });

  it('eval of a teacher alone has no student part', () => {
    const text = renderEval({ tokens: 5, teacher: { nll: 1, perplexity: Math.E }, unigram: { nll: 2 }, bigram: { nll: 1.5 } });
    expect(text).to.contain('teacher      1.0000        2.72').and.not.to.contain('student').and.not.to.contain('energy');
  });

  it('generate, doctor, import', () => {
    expect(renderGeneration({ tokens: 80, finishReason: 'length', seed: 7, tokensPerSecond: 41.26, acsPerToken: 12345.6 }))
      .to.equal('80 tokens, ended by length, seed 7, 41.3 tokens/s, 12,346 accumulates/token');
    expect(renderGeneration({ tokens: 1, finishReason: 'eos', seed: 0, tokensPerSecond: 5, acsPerToken: null })).to.equal('1 token, ended by eos, seed 0, 5 tokens/s');
    expect(renderDoctor({ node: '20.1', platform: 'linux x64', backends: [{ name: 'wasm', available: true, device: 'CPU, SIMD', reason: null }, { name: 'webgpu', available: false, device: null, reason: 'no adapter' }] }))
      .to.equal('backend  here   device or reason\nwasm     works  CPU, SIMD\nwebgpu   no     no adapter\n\nNode.js 20.1 on linux x64');
    expect(renderImport({
      path: '/m', family: 'opt', parameters: 125, vocabSize: 10, dtype: 'float32', check: { nll: 3.32, perplexity: 27.66, tokens: 9 },
      provenance: { source: 'a/b', commit: 'abc', files: [{ name: 'x', sizeBytes: 1500 }] },
    })).to.contain('a/b at abc, 1 file, 1.5 kB').and.to.contain('3.3200 nats/token over 9 tokens (perplexity 27.66)');
  });

  it('a failure: class of error, message, what to type; colour only when asked', () => {
    const failure = { name: 'ConfigError', code: 'NOTHING_LEARNED', exit: 9, message: 'm', suggestions: ['do this'] };
    expect(renderFailure(failure, { hasColour: false, stack: null })).to.equal('Error (nothing learned): m\n  try  do this');
    expect(renderFailure(failure, { hasColour: true, stack: 'at x' })).to.contain('\u001b[31mError').and.to.contain('at x');
  });
});
