import { expect } from 'chai';
import { join } from 'node:path';
import { windowsOf } from '../../src/core/corpus/batches.js';
import { ngramBaselines } from '../../src/core/corpus/ngram.js';
import { loadCorpus } from '../../src/core/corpus/tokens.js';

const SHARED = process.env['BISPIK_SHARED_DATA'];

describe('corpus, on Tiny Shakespeare', () => {
  it('agrees with an independent count of bytes: split, unigram and Witten-Bell bigram loss', async function () {
    if (SHARED === undefined) return this.skip();
    const options = { kind: 'text', valid: null, validFraction: 0.08, maxBytes: null, stories: { seed: 1, count: 1 } } as const;
    const bytes = { vocabSize: 256, encode: (text: string) => [...Buffer.from(text)] };
    const corpus = await loadCorpus({ ...options, train: join(SHARED, 'corpora/tiny-shakespeare/input.txt') }, bytes);
    expect([corpus.train.length, corpus.valid.length]).to.deep.equal([1026162, 89232]);
    // From twelve lines of Python over collections.Counter, windows of 64.
    const { unigramNll, bigramNll } = ngramBaselines({ train: corpus.train, windows: windowsOf(corpus.valid, 64), vocabSize: 256 });
    expect(unigramNll).to.be.closeTo(3.346030171033024, 1e-9);
    expect(bigramNll).to.be.closeTo(2.4761854476989917, 1e-9);
  });
});
