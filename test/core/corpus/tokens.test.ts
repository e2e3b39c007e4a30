import { expect } from 'chai';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { storyNats } from '../../../src/core/corpus/stories.js';
import { checkCorpusFits, encodeText, loadCorpus, readCorpus, tokenizeCorpus, type CorpusOptions, type CorpusTokenizer } from '../../../src/core/corpus/tokens.js';
import { ConfigError, FormatError, ShapeError, type BispikError } from '../../../src/core/errors.js';

/** One token a UTF-8 byte; remembers the longest text it was asked to encode. */
function byteTokenizer(): CorpusTokenizer & { longest: number } {
  return {
    vocabSize: 256,
    longest: 0,
    encode(text, options) {
      expect(options).to.deep.equal({ addSpecialTokens: false });
      this.longest = Math.max(this.longest, text.length);
      return [...Buffer.from(text)];
    },
  };
}

async function rejection(promise: Promise<unknown>): Promise<BispikError> {
  return promise.then(() => expect.fail('nothing was thrown'), (error: unknown) => error as BispikError);
}

const stories: CorpusOptions = { kind: 'stories', train: null, valid: null, validFraction: 0.25, maxBytes: null, stories: { seed: 3, count: 10 } };

describe('loadCorpus', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bispik-tokens-'));
    await writeFile(join(folder, 'train.txt'), 'aéb€cdefgh');
    await writeFile(join(folder, 'valid.txt'), 'xyz');
  });
  after(() => rm(folder, { recursive: true, force: true }));
  const text = (changes: Partial<CorpusOptions>): CorpusOptions => ({ ...stories, kind: 'text', train: join(folder, 'train.txt'), ...changes });

  it('splits one file by position: 10 characters at 0.3 are 7 and 3', async () => {
    const corpus = await loadCorpus(text({ validFraction: 0.3 }), byteTokenizer());
    expect(Buffer.from(corpus.train).toString()).to.equal('aéb€cde');
    expect(Buffer.from(corpus.valid).toString()).to.equal('fgh');
    // 7 characters in 1 + 2 + 1 + 3 + 1 + 1 + 1 = 10 bytes, then 3 in 3.
    expect([corpus.bytesTrain, corpus.bytesValid, corpus.bytesPerToken]).to.deep.equal([10, 3, 1]);
    expect(corpus.charactersPerToken).to.equal(10 / 13);
    expect(corpus.trueNllPerToken).to.equal(null);
    const hash = createHash('sha256').update(Buffer.concat([Buffer.from('aéb€cde'), Buffer.from([0xff]), Buffer.from('fgh')])).digest('hex');
    expect(corpus.sha256).to.equal(hash);
  });

  it('takes a validation file whole, and cuts only the training file at maxBytes', async () => {
    const corpus = await loadCorpus(text({ valid: join(folder, 'valid.txt'), maxBytes: 2 }), byteTokenizer());
    expect([Buffer.from(corpus.train).toString(), Buffer.from(corpus.valid).toString()]).to.deep.equal(['a', 'xyz']);
  });

  it('holds whole stories out: the last ⌈10 · 0.25⌉ = 3, with the exact floor of their loss', async () => {
    const corpus = await loadCorpus(stories, byteTokenizer());
    const lines = Buffer.from(corpus.valid).toString().split('\n');
    expect(lines.length).to.equal(4);
    expect(Buffer.from(corpus.train).toString().split('\n').length).to.equal(8);
    const nats = lines.slice(0, 3).reduce((sum, line) => sum + (storyNats(line) ?? Number.NaN), 0);
    expect(corpus.trueNllPerToken).to.be.closeTo(nats / corpus.valid.length, 1e-12);
  });

  it('is the same for the same seed and another for another', async () => {
    const hashes = await Promise.all([3, 3, 4].map(async (seed) => (await readCorpus({ ...stories, stories: { seed, count: 10 } })).sha256));
    expect(hashes[0]).to.equal(hashes[1]);
    expect(hashes[0]).not.to.equal(hashes[2]);
  });

  it('refuses a corpus without a file, a missing file, and one story for two parts', async () => {
    const unnamed = await rejection(readCorpus(text({ train: null })));
    expect(unnamed).to.be.instanceOf(ConfigError).with.property('exitCode', 3);
    expect(unnamed.suggestions.join()).to.contain('corpus.train');
    expect(await rejection(readCorpus(text({ valid: join(folder, 'none.txt') })))).to.be.instanceOf(FormatError);
    const few = await rejection(readCorpus({ ...stories, stories: { seed: 1, count: 1 } }));
    expect(few).to.be.instanceOf(ConfigError);
    expect(few.message).to.contain('1 stories cannot be split');
  });
});

describe('encodeText', () => {
  it('hands a long text to the tokenizer whole, and an empty one gives nothing', () => {
    const tokenizer = byteTokenizer();
    const text = 'one line of text\n\nand another é\n'.repeat(20_000);
    expect(Buffer.from(encodeText(text, tokenizer)).toString()).to.equal(text);
    expect(tokenizer.longest).to.equal(text.length);
    expect(encodeText('', tokenizer).length).to.equal(0);
  });

  it('refuses an id outside the vocabulary, and a part without tokens', () => {
    expect(() => encodeText('a', { vocabSize: 5, encode: () => [5] })).to.throw(ShapeError, 'token 5, outside its vocabulary of 5').with.property('exitCode', 5);
    const corpus = { train: 'a', valid: '', sha256: '', trueNats: null };
    expect(() => tokenizeCorpus(corpus, byteTokenizer())).to.throw(FormatError, 'validation part of the corpus has no tokens');
  });
});

describe('checkCorpusFits', () => {
  const corpus = { train: new Int32Array(20), valid: new Int32Array(9) };

  it('takes a context that leaves a window in both parts', () => {
    expect(() => checkCorpusFits(corpus, 8)).not.to.throw();
  });

  it('names the part, the tokens and the largest context that fits', () => {
    const error = ((): BispikError => {
      try {
        checkCorpusFits(corpus, 9);
      } catch (thrown) {
        return thrown as BispikError;
      }
      return expect.fail('nothing was thrown');
    })();
    expect(error).to.be.instanceOf(ConfigError).with.property('exitCode', 3);
    expect(error.message).to.equal('the validation part of the corpus has 9 tokens; one window of context 9 needs 10');
    expect(error.suggestions).to.include('--set train.context=8');
  });
});
