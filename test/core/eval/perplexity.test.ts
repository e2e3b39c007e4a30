import { expect } from 'chai';

import { Interrupted, NumericError, ShapeError } from '../../../src/core/errors.js';
import { measurePerplexity, negativeLogLikelihood } from '../../../src/core/eval/perplexity.js';
import { silentReporter } from '../../../src/core/types.js';
import type { ProgressEvent } from '../../../src/core/types.js';
import { fakeLanguageModel, simpleCounts, tableLanguageModel, uniformLanguageModel } from '../../support/fake-language-model.js';

const ctx = { reporter: silentReporter, signal: new AbortController().signal };
const failure = (work: Promise<unknown>): Promise<unknown> => work.then(() => undefined, (error: unknown) => error);

/** After 0 comes 1 with probability 3/4, after 1 comes 0 with probability 1/4 (two tokens). */
const table = [[0, Math.log(3)], [0, Math.log(3)]];

describe('negative log likelihood', () => {
  it('is −log softmax, worked by hand', () => {
    expect(negativeLogLikelihood(Float32Array.of(0, 0, 0, 0), 2)).to.equal(Math.log(4));
    expect(negativeLogLikelihood(Float32Array.of(Math.log(1), Math.log(3)), 1)).to.be.closeTo(Math.log(4 / 3), 1e-7);
  });

  it('is stable far from zero', () => {
    expect(negativeLogLikelihood(Float32Array.of(1e30, 1e30), 0)).to.equal(Math.log(2));
    expect(negativeLogLikelihood(Float32Array.of(-30_000, -30_000), 0)).to.be.closeTo(Math.log(2), 1e-12);
    expect(negativeLogLikelihood(Float32Array.of(1000, 0), 1)).to.equal(1000);
  });

  it('refuses NaN, infinite maxima and foreign ids', () => {
    for (const row of [Float32Array.of(NaN, 0), Float32Array.of(Infinity, 0), Float32Array.of(-Infinity, -Infinity)]) {
      expect(() => negativeLogLikelihood(row, 1)).to.throw(NumericError, 'NaN').with.property('exitCode', 7);
    }
    expect(() => negativeLogLikelihood(Float32Array.of(0, 0), 2)).to.throw(ShapeError, 'token id 2').with.property('exitCode', 5);
  });
});

describe('perplexity', () => {
  it('of a uniform model is the vocabulary size', async () => {
    const report = await measurePerplexity(uniformLanguageModel(), { sequences: [[0, 1, 2, 3, 0, 1]], contextLength: 2, stride: 1 }, ctx);
    expect(report.nll).to.be.closeTo(Math.log(4), 1e-12);
    expect(report.perplexity).to.be.closeTo(4, 1e-11);
    expect(report.tokens).to.equal(5);
    // Windows of 2 inputs at starts 0, 1, 2, 3.
    expect(report.processedTokens).to.equal(8);
    expect(report.counts).to.equal(null);
  });

  it('weighs tokens, not sequences', async () => {
    // [0,1] has one target of p 3/4; [1,0,0,1] has targets 0 (1/4), 0 (1/4), 1 (3/4).
    const report = await measurePerplexity(tableLanguageModel(table), { sequences: [[0, 1], [1, 0, 0, 1]], contextLength: 8, stride: 8 }, ctx);
    expect(report.nll).to.be.closeTo((2 * Math.log(4 / 3) + 2 * Math.log(4)) / 4, 1e-7);
    expect(report.perplexity).to.be.closeTo(Math.exp(report.nll), 1e-12);
    expect(report.tokens).to.equal(4);
  });

  it('sees only what is in the window: a model that knows how long its input is', async () => {
    // The target's probability is e^n/(e^n + 1) where n is how many tokens the model sees.
    const model = fakeLanguageModel({ shape: { vocabSize: 2 }, next: (prefix) => [prefix.length, 0] });
    const expected = (sizes: number[]): number => sizes.reduce((sum, n) => sum + Math.log(1 + Math.exp(-n)), 0) / sizes.length;
    const sequences = [Array.from({ length: 8 }, () => 0)];
    const apart = await measurePerplexity(model, { sequences, contextLength: 4, stride: 4 }, ctx);
    expect(apart.nll).to.be.closeTo(expected([1, 2, 3, 4, 1, 2, 3]), 1e-7);
    const sliding = await measurePerplexity(model, { sequences, contextLength: 4, stride: 1 }, ctx);
    expect(sliding.nll).to.be.closeTo(expected([1, 2, 3, 4, 4, 4, 4]), 1e-7);
  });

  it('batches windows of equal length, and the result does not depend on it', async () => {
    const ids = Array.from({ length: 100 }, (_, i) => (i * i) % 2);
    const small = tableLanguageModel(table);
    const together = await measurePerplexity(small, { sequences: [ids, ids.slice(0, 8)], contextLength: 3, stride: 3 }, ctx);
    expect(small.batches).to.deep.equal([{ sequences: 16, length: 3 }, { sequences: 16, length: 3 }, { sequences: 3, length: 3 }, { sequences: 1, length: 1 }]);
    const wide = fakeLanguageModel({ shape: { vocabSize: 2 ** 22 }, next: () => new Float32Array(2 ** 22) });
    await measurePerplexity(wide, { sequences: [[0, 1, 2, 3, 0, 1]], contextLength: 1, stride: 1 }, ctx);
    expect(wide.batches.map(({ sequences }) => sequences)).to.deep.equal([4, 1]);
    const long = uniformLanguageModel({ shape: { vocabSize: 2, contextLength: 512 } });
    await measurePerplexity(long, { sequences: [new Int32Array(512 * 5 + 1)], contextLength: 512, stride: 512 }, ctx);
    expect(long.batches).to.deep.equal([{ sequences: 4, length: 512 }, { sequences: 1, length: 512 }]);
    const alone = await Promise.all([ids, ids.slice(0, 8)].map((one) => measurePerplexity(small, { sequences: [one], contextLength: 3, stride: 3 }, ctx)));
    expect(together.nll).to.be.closeTo((alone[0]!.nll * 99 + alone[1]!.nll * 7) / 106, 1e-12);
  });

  it('adds the counts of all windows', async () => {
    const model = uniformLanguageModel({ kind: 'student', count: simpleCounts });
    const { counts, processedTokens } = await measurePerplexity(model, { sequences: [Int32Array.of(0, 1, 2, 3)], contextLength: 2, stride: 2 }, ctx);
    expect(processedTokens).to.equal(3);
    expect(counts).to.deep.equal({ tokens: 3, macs: 30, popcounts: 4, sites: [{ layer: 0, site: 'query', spikes: 9, slots: 12, accumulates: 18 }] });
  });

  it('reports progress in targets', async () => {
    const events: ProgressEvent[] = [];
    const reporter = { ...silentReporter, progress: (event: ProgressEvent) => events.push(event) };
    await measurePerplexity(uniformLanguageModel(), { sequences: [[0, 1, 2, 3]], contextLength: 2, stride: 2 }, { ...ctx, reporter });
    expect(events).to.deep.equal([2, 3].map((done) => ({ phase: 'evaluate teacher', done, total: 3, unit: 'tokens' })));
  });

  it('refuses what it cannot score', async () => {
    const options = { contextLength: 4, stride: 4 };
    expect(await failure(measurePerplexity(uniformLanguageModel(), { ...options, sequences: [[1], []] }, ctx)))
      .to.be.instanceOf(ShapeError).with.property('message').that.contains('fewer than 2 tokens');
    const broken = fakeLanguageModel({ next: () => [NaN, 0, 0, 0] });
    expect(await failure(measurePerplexity(broken, { ...options, sequences: [[0, 1]] }, ctx))).to.be.instanceOf(NumericError);
    const certain = fakeLanguageModel({ shape: { vocabSize: 2 }, next: () => [1e6, 0] });
    expect(await failure(measurePerplexity(certain, { ...options, sequences: [[0, 1]] }, ctx)))
      .to.be.instanceOf(NumericError).with.property('message').that.contains('1000000 nats');
    const short = { ...uniformLanguageModel(), forward: () => Promise.resolve([{ logits: new Float32Array(3), counts: null }]) };
    expect(await failure(measurePerplexity(short, { ...options, sequences: [[0, 1]] }, ctx)))
      .to.be.instanceOf(ShapeError).with.property('message').that.contains('expected 4');
  });

  it('stops when aborted', async () => {
    const error = await failure(measurePerplexity(uniformLanguageModel(), { sequences: [[0, 1]], contextLength: 4, stride: 4 }, { ...ctx, signal: AbortSignal.abort() }));
    expect(error).to.be.instanceOf(Interrupted).with.property('exitCode', 130);
    expect((error as Interrupted).message).to.contain('0 of 1 tokens');
  });
});
