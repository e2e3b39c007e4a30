import { expect } from 'chai';
import fc from 'fast-check';
import { ConfigError } from '../../../src/core/errors.js';
import { forEachWord } from '../../../src/core/tokenizer/split-words.js';
import { toByteCharacters } from '../../../src/core/tokenizer/byte-alphabet.js';
import { trainBytePairTokenizer } from '../../../src/core/tokenizer/train-bpe.js';

const mergesOf = (text: string, vocabSize: number, specialTokens: string[] = []): readonly string[] =>
  trainBytePairTokenizer(text, { vocabSize, specialTokens }).model['merges'] as readonly string[];

describe('tokenizer/train-bpe', () => {
  it('merges the most frequent pair first, as counted by hand', () => {
    // Words aaab, ·aaab, ·ab. aa 4, ab 3, ·a 2. After aa: aa|a|b twice, ·|a|b; ab 3, aa+a 2. After ab: aa|ab twice: 2; ·ab and ·aa once each.
    expect(mergesOf('aaab aaab ab', 259)).to.deep.equal(['a a', 'a b', 'aa ab']);
  });

  it('takes the pair with the smaller ids of equally frequent ones', () => {
    // xy, ·zw, ·xy, ·zw: xy, zw and ·z twice, ·x once; the space is byte character U+0120, after all letters.
    expect(mergesOf('xy zw xy zw', 259)).to.deep.equal(['x y', 'z w', 'Ġ zw']);
  });

  it('gives special tokens the first ids, bytes the next in the order of their characters, merges the rest', () => {
    const { model, added_tokens: added } = trainBytePairTokenizer('abab', { vocabSize: 259, specialTokens: ['</s>', '<pad>'] });
    const vocab = model['vocab'] as Record<string, number>;
    expect(['</s>', '<pad>', '!', '"', '~', '¡', 'Ā', 'Ń', 'ab'].map((token) => vocab[token])).to.deep.equal([0, 1, 2, 3, 95, 96, 190, 257, 258]);
    expect(added.map(({ id, content }) => [id, content])).to.deep.equal([[0, '</s>'], [1, '<pad>']]);
  });

  it('does not count a special token the text names, and ends words there', () => {
    expect(mergesOf('ab</s>ab</s>cd', 258, ['</s>'])).to.deep.equal(['a b']);
  });

  it('agrees with counting everything anew after every merge', () => {
    const text = fc.array(fc.constantFrom('a', 'aa', 'b', 'ab', 'ba', ' ', '\n', 'é'), { minLength: 30, maxLength: 200 }).map((parts) => parts.join(''));
    fc.assert(fc.property(text, (sample) => {
      const expected = trainPlainly(sample, 12);
      expect(mergesOf(sample, 256 + new Set(expected.map((merge) => merge.replace(' ', ''))).size)).to.deep.equal(expected);
    }), { numRuns: 100 });
  });

  for (const [what, vocabSize, message] of [['too small for the bytes', 256, /needs 257/], ['over 65,536', 65_537, /to 65536/], ['no whole number', 300.5, /300\.5/]] as const) {
    it(`refuses a vocabulary that is ${what}`, () => {
      expect(() => mergesOf('abab', vocabSize, ['</s>'])).to.throw(ConfigError, message).with.property('exitCode', 3);
    });
  }

  it('says how large a vocabulary a short text gives', () => {
    expect(() => mergesOf('aaab aaab ab', 300)).to.throw(ConfigError, /gives 259 tokens, tokenizer\.vocabSize is 300/).with.deep.property('suggestions', ['use more text', '--set tokenizer.vocabSize=259']);
  });
});

/** Algorithm 1 of Sennrich et al. with a full recount per merge; stops after `steps` new tokens or when no pair occurs twice. */
function trainPlainly(text: string, steps: number): string[] {
  const order: string[] = [];
  let words: string[][] = [];
  forEachWord(text, (word) => words.push(Array.from(toByteCharacters(word))));
  // Byte characters rank by their code, later tokens by when they were made.
  const rank = (token: string): number => (order.includes(token) ? 0x10000 + order.indexOf(token) : token.charCodeAt(0));
  const merges: string[] = [];
  while (order.length < steps) {
    const counts = new Map<string, number>();
    for (const parts of words) for (let i = 1; i < parts.length; i++) counts.set(`${parts[i - 1]} ${parts[i]}`, (counts.get(`${parts[i - 1]} ${parts[i]}`) ?? 0) + 1);
    const ranked = [...counts].filter(([, count]) => count > 1).map(([pair, count]) => ({ pair, count, ranks: pair.split(' ').map(rank) as [number, number] }));
    ranked.sort((a, b) => b.count - a.count || a.ranks[0] - b.ranks[0] || a.ranks[1] - b.ranks[1]);
    const best = ranked[0];
    if (best === undefined) break;
    merges.push(best.pair);
    const merged = best.pair.replace(' ', '');
    if (!order.includes(merged)) order.push(merged);
    words = words.map((parts) => {
      const joined: string[] = [];
      for (let i = 0; i < parts.length; i++) joined.push(`${parts[i]} ${parts[i + 1]}` === best.pair ? `${parts[i]}${parts[++i]}` : (parts[i] as string));
      return joined;
    });
  }
  return merges;
}
