import { expect } from 'chai';
import { FormatError } from '../../../src/core/errors.js';
import { convertGpt2Tokenizer } from '../../../src/core/tokenizer/convert.js';
import { tinyMergesText, tinyVocabulary } from '../../support/tiny-tokenizer.js';

const OPT = { special: ['</s>', '<pad>', '</s>'], prefix: '</s>' };

describe('tokenizer/convert', () => {
  it('keeps vocabulary and merges, names special tokens once in the order of their ids, and puts the prefix before a text', () => {
    const json = convertGpt2Tokenizer(tinyVocabulary(), tinyMergesText(), OPT);
    expect(json.model['vocab']).to.deep.equal(tinyVocabulary());
    expect(json.model['merges']).to.deep.equal(['l o', 'lo w', 'e r', 'Ġ low']);
    expect(json.added_tokens.map(({ id, content, special }) => [id, content, special])).to.deep.equal([[1, '<pad>', true], [2, '</s>', true]]);
    expect(json.post_processor).to.deep.equal({
      type: 'TemplateProcessing', single: [{ SpecialToken: { id: '</s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [{ SpecialToken: { id: '</s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
      special_tokens: { '</s>': { id: '</s>', ids: [2], tokens: ['</s>'] } },
    });
  });

  it('reads merges with Windows line ends, without a version line, and a merge that begins like a comment', () => {
    const vocab = { ...tinyVocabulary(), '##': 264 };
    expect(convertGpt2Tokenizer(vocab, '# #\r\nl o\r\n', OPT).model['merges']).to.deep.equal(['# #', 'l o']);
  });

  const without = (token: string): Record<string, number> => Object.fromEntries(Object.entries(tinyVocabulary()).filter(([name]) => name !== token));
  const cases: readonly (readonly [what: string, vocab: unknown, merges: string, message: RegExp])[] = [
    ['a vocabulary that is a list', ['a'], '', /not an object/],
    ['an id that is no number', { ...tinyVocabulary(), x: '7' }, '', /id of "x" is "7"/],
    ['an id given twice', { ...tinyVocabulary(), new: 2 }, '', /"<\/s>" and "new" have the same id 2/],
    ['a vocabulary without a byte', without('Ġ'), '', /no token for byte 32 \("Ġ"\)/],
    ['a merge of three', tinyVocabulary(), '#version: 0.2\nl o\nl o w\n', /line 3: "l o w"/],
    ['a merge that is cut', tinyVocabulary(), '#version: 0.2\nl ', /line 2: "l "/],
    ['a merge whose result is not in the vocabulary', tinyVocabulary(), 'l o\no w\n', /line 2: "ow" is not in vocab\.json/],
    ['a special token that is not in the vocabulary', without('<pad>'), '', /special token <pad> is not in the vocabulary/],
  ];
  for (const [what, vocab, merges, message] of cases) {
    it(`refuses ${what}`, () => {
      expect(() => convertGpt2Tokenizer(vocab, merges, OPT)).to.throw(FormatError, message).with.property('exitCode', 5);
    });
  }
});
