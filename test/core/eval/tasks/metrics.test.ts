import { expect } from 'chai';

import type { TaskItem } from '../../../../src/core/eval/tasks/items.js';
import { aggregate, indexOfLargest, outcomesOf } from '../../../../src/core/eval/tasks/metrics.js';
import { chanceOutcomes, fitUnigram, scoreByUnigram, benchmarkText } from '../../../../src/core/eval/tasks/null-models.js';

const item = (choices: readonly string[], gold: number | null, counted: string | null = null): TaskItem =>
  ({ docId: 0, row: {}, place: '', requests: choices.map(() => ({ context: '', continuation: '' })), choices, gold, target: '', counted, example: '' });
const scores = (...values: readonly number[]) => values.map((logLikelihood) => ({ logLikelihood, isGreedy: false }));

describe('metrics', () => {
  it('count ties for the first index', () => {
    expect([indexOfLargest([1, 3, 3]), indexOfLargest([-0, 0]), indexOfLargest([-Infinity, -Infinity])]).to.deep.equal([1, 0, 0]);
    const { acc } = outcomesOf([item(['a', 'b'], 0), item(['a', 'b'], 1)], [scores(-1, -1), scores(-1, -1)], { type: 'multiple_choice', metrics: ['acc'] });
    expect(acc!.values).to.deep.equal([1, 0]);
  });

  it('divide by code points, by bytes, or not at all', () => {
    // -6 over 2 code points (4 UTF-16 units, 8 bytes), -7 over 4 (4 units, 4 bytes): by code points the second, by units and bytes the first.
    const outcomes = outcomesOf([item(['😀😀', 'abcd'], 1)], [scores(-6, -7)], { type: 'multiple_choice', metrics: ['acc', 'acc_norm', 'acc_bytes'] });
    expect([outcomes.acc!.values, outcomes.acc_norm!.values, outcomes.acc_bytes!.values]).to.deep.equal([[0], [1], [0]]);
  });

  it('have the standard error of the sample, null of a single item', () => {
    expect(aggregate('acc', { values: [1, 0, 1, 1], weights: null })).to.deep.equal({ value: 0.75, stderr: 0.25 });
    expect(aggregate('acc', { values: [1], weights: null })).to.deep.equal({ value: 1, stderr: null });
  });

  it('turn log-likelihoods into perplexities by hand', () => {
    const values = [-Math.log(2), -Math.log(8)];
    expect(aggregate('perplexity', { values, weights: null }).value).to.be.closeTo(4, 1e-12);
    expect(aggregate('word_perplexity', { values, weights: [1, 3] }).value).to.be.closeTo(2, 1e-12);
    expect(aggregate('bits_per_byte', { values, weights: [4, 4] })).to.deep.equal({ value: 0.5, stderr: null });
  });

  it('bootstrap the error of a perplexity close to the delta method\'s, the same every time', () => {
    const values = Array.from({ length: 400 }, (_, i) => -2 - ((i * 37) % 100) / 100);
    const { value, stderr } = aggregate('perplexity', { values, weights: null });
    const mean = values.reduce((a, b) => a + b) / 400;
    const deviation = Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / 399);
    expect(stderr! / ((value * deviation) / 20)).to.be.closeTo(1, 0.1);
    expect(aggregate('perplexity', { values, weights: null }).stderr).to.equal(stderr);
  });
});

describe('null models', () => {
  const windows = (...requests: readonly (readonly [readonly number[], readonly number[]])[]) => ({ requests: requests.map(([input, targets]) => [{ input, targets }]), isTruncated: false, isOverlong: false });

  it('guess among the choices of each item', () => {
    const chance = chanceOutcomes([item(['a', 'b'], 0), item(['a', 'b', 'c', 'd'], 0)], [windows([[0], [1]]), windows([[0], [1]])], { type: 'multiple_choice', metrics: ['acc', 'acc_norm'], vocabSize: 9 });
    expect(aggregate('acc', chance.acc!).value).to.equal(0.375);
    expect(chance.acc_norm!.values).to.deep.equal([0.5, 0.25]);
  });

  it('guess each token of a word, of which there are V', () => {
    const options = { type: 'loglikelihood', metrics: ['acc', 'perplexity'], vocabSize: 10 } as const;
    const chance = chanceOutcomes([item([], null), item([], null)], [windows([[0], [1]]), windows([[0, 1, 2], [1, 2, 3]])], options);
    expect(aggregate('acc', chance.acc!).value).to.be.closeTo((0.1 + 0.001) / 2, 1e-15);
    expect(aggregate('perplexity', chance.perplexity!).value).to.be.closeTo(100, 1e-9);
  });

  it('know how often a token occurs: (count + 1) / (N + V)', () => {
    const unigram = fitUnigram([[0, 1, 1], [1]], 4, 'training');
    expect([...unigram.logProbabilities].map(Math.exp).map((p) => Math.round(p * 8))).to.deep.equal([2, 4, 1, 1]);
    const [first] = scoreByUnigram([windows([[0], [1, 1]], [[0], [1, 2]])], unigram);
    expect(first![0]!.logLikelihood).to.be.closeTo(Math.log(1 / 4), 1e-12);
    expect(first![1]!.logLikelihood).to.be.closeTo(Math.log(1 / 16), 1e-12);
    expect(first!.map(({ isGreedy }) => isGreedy)).to.deep.equal([true, false]);
  });

  it('count the benchmark\'s prompts once and its continuations all, the right one not more often', () => {
    expect([...benchmarkText([windows([[5, 6, 7], [7, 8]], [[5, 6], [9]])])]).to.deep.equal([[5, 6], [7, 8], [9]]);
  });
});
