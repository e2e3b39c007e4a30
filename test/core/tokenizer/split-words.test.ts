import { expect } from 'chai';
import fc from 'fast-check';
import { forEachWord } from '../../../src/core/tokenizer/split-words.js';

function words(text: string): string[] {
  const found: string[] = [];
  forEachWord(text, (word) => found.push(word));
  return found;
}

describe('tokenizer/split-words', () => {
  it('splits contractions, words, digits, marks and white space as GPT-2 does', () => {
    expect(words("I'll go, 12ab  x\n\n y\n\nz ")).to.deep.equal(['I', "'ll", ' go', ',', ' 12', 'ab', ' ', ' x', '\n\n', ' y', '\n', '\n', 'z', ' ']);
    expect(words("DON'T don't 's!?")).to.deep.equal(['DON', "'", 'T', ' don', "'t", " '", 's', '!?']);
  });

  it('takes white space as Unicode does, U+0085 in and U+FEFF out', () => {
    expect(words('a\u0085\u0085b')).to.deep.equal(['a', '\u0085', '\u0085', 'b']);
    expect(words('\ufeff\ufeffa !\ufeff')).to.deep.equal(['\ufeff\ufeff', 'a', ' !\ufeff']);
  });

  it('gives the same words for a long text, which it takes in pieces, as the pattern gives for the whole', () => {
    const whole = /'(?:[stmd]|re|ve|ll)| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;
    const units = ['word', ' ', '  ', '\n', '\n\n', '\u0085', "'s", '1', '!', '😀', '\ufeff'];
    const text = fc.sample(fc.array(fc.constantFrom(...units), { minLength: 20_000, maxLength: 20_000 }), { numRuns: 5, seed: 1 });
    for (const parts of text) {
      const long = parts.join('').repeat(8);
      expect(long.length).to.be.greaterThan(3 * 65_536);
      expect(words(long)).to.deep.equal(long.match(whole));
    }
  });

  it('loses nothing', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => words(text).join('') === text));
  });
});
