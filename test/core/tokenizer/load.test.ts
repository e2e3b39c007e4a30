import { expect } from 'chai';
import fc from 'fast-check';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { FormatError } from '../../../src/core/errors.js';
import { toByteCharacters } from '../../../src/core/tokenizer/byte-alphabet.js';
import type { Tokenizer } from '../../../src/core/tokenizer/load.js';
import { loadTokenizer, readTokenizerJson } from '../../../src/core/tokenizer/load.js';
import { forEachWord } from '../../../src/core/tokenizer/split-words.js';
import { trainBytePairTokenizer } from '../../../src/core/tokenizer/train-bpe.js';
import { writeTokenizer } from '../../../src/core/tokenizer/write.js';
import { rejection } from '../../support/rejection.js';
import { withTempFolder } from '../../support/temp-folder.js';
import { FIRST_BYTE_ID, tinyMergesText, tinyVocabulary } from '../../support/tiny-tokenizer.js';

type Files = Readonly<Record<string, unknown>>;

const GPT2_FILES: Files = { 'vocab.json': tinyVocabulary(), 'merges.txt': tinyMergesText() };
const OPT_FILES: Files = { ...GPT2_FILES, 'config.json': { model_type: 'opt', bos_token_id: 2, eos_token_id: 2 } };
const PLAIN = { addSpecialTokens: false };
const TEXT = 'the cat sat on the mat; the bat sat on the cat. 12 12 naïve naïve 😀😀 café café\n\n\tthe end the end\n'.repeat(3);

async function load(files: Files): Promise<Tokenizer> {
  return withTempFolder(async (folder) => {
    for (const [name, value] of Object.entries(files)) await writeFile(path.join(folder, name), typeof value === 'string' ? value : JSON.stringify(value));
    return loadTokenizer(folder);
  });
}

function streamed(tokenizer: Tokenizer, ids: readonly number[]): string[] {
  const stream = tokenizer.decodeStream();
  return [...ids.map((id) => stream.push(id)), stream.flush()];
}

describe('tokenizer/load', () => {
  it('encodes by the merges in their order, as worked by hand, with </s> before the text for OPT', async () => {
    const tokenizer = await load(OPT_FILES);
    // low: l o → lo, lo w → low. ·lower: l o, lo w, e r, then Ġ low.
    expect(tokenizer.encode('low lower')).to.deep.equal([2, 261, 263, 262]);
    expect(tokenizer.encode('low lower', PLAIN)).to.deep.equal([261, 263, 262]);
    expect(tokenizer.encode('', PLAIN)).to.deep.equal([]);
    expect(tokenizer.encode('é<', PLAIN)).to.deep.equal([FIRST_BYTE_ID + 0xc3, FIRST_BYTE_ID + 0xa9, FIRST_BYTE_ID + 0x3c]);
    expect([tokenizer.vocabSize, tokenizer.bosId, tokenizer.eosId]).to.deep.equal([264, 2, 2]);
  });

  it('puts nothing before a text of GPT-2, and follows tokenizer_config.json where that is there', async () => {
    expect((await load(GPT2_FILES)).encode('low')).to.deep.equal([261]);
    const config = { bos_token: { content: '<s>' }, eos_token: '</s>', add_bos_token: true };
    const tokenizer = await load({ ...GPT2_FILES, 'tokenizer_config.json': config });
    expect([tokenizer.encode('low'), tokenizer.bosId, tokenizer.eosId]).to.deep.equal([[0, 261], 0, 2]);
    expect((await load({ ...OPT_FILES, 'tokenizer_config.json': { bos_token: '</s>', add_bos_token: false } })).encode('low')).to.deep.equal([261]);
  });

  it('finds special tokens in a text, longest first, and leaves their like alone', async () => {
    const tokenizer = await load(OPT_FILES);
    expect(tokenizer.encode('low</s>low<pad>', PLAIN)).to.deep.equal([261, 2, 261, 1]);
    expect(tokenizer.decode([2, 261, 2])).to.equal('low');
    expect(tokenizer.decode([2, 261, 2], { skipSpecialTokens: false })).to.equal('</s>low</s>');
    expect(tokenizer.encode('<s>', PLAIN)).to.have.length(3);
  });

  it('gives no text for ids without a token, as models with a padded vocabulary may produce', async () => {
    const tokenizer = await load(OPT_FILES);
    expect(tokenizer.decode([261, 264, 100_000])).to.equal('low');
    expect(streamed(tokenizer, [261, 264])).to.deep.equal(['low', '', '']);
  });

  it('streams whole characters only; a broken one at the end becomes U+FFFD', async () => {
    const tokenizer = await load(OPT_FILES);
    const euro = [0xe2, 0x82, 0xac].map((byte) => FIRST_BYTE_ID + byte);
    expect(streamed(tokenizer, [2, 261, ...euro, 262])).to.deep.equal(['', 'low', '', '', '€', 'er', '']);
    expect(streamed(tokenizer, euro.slice(0, 2))).to.deep.equal(['', '', '\ufffd']);
  });

  it('keeps a byte order mark at the start of a text', async () => {
    const tokenizer = await load(OPT_FILES);
    expect(tokenizer.decode(tokenizer.encode('\ufefflow'))).to.equal('\ufefflow');
    expect(streamed(tokenizer, tokenizer.encode('\ufefflow')).join('')).to.equal('\ufefflow');
  });

  it('is the same tokenizer with the same hash after it was written as tokenizer.json', () => withTempFolder(async (folder) => {
    for (const [name, value] of Object.entries(OPT_FILES)) await writeFile(path.join(folder, name), typeof value === 'string' ? value : JSON.stringify(value));
    const out = path.join(folder, 'out');
    await writeTokenizer(out, await readTokenizerJson(folder));
    const [before, after] = [await loadTokenizer(folder), await loadTokenizer(out)];
    expect(after.encode('low lower')).to.deep.equal([2, 261, 263, 262]);
    expect([after.hash, after.bosId, after.eosId, after.vocabSize]).to.deep.equal([before.hash, 2, 2, 264]);
    expect(JSON.parse(await readFile(path.join(out, 'tokenizer_config.json'), 'utf8'))).to.include({ bos_token: '</s>', eos_token: '</s>', pad_token: '<pad>', add_bos_token: true });
  }));

  describe('a trained tokenizer', () => {
    const json = trainBytePairTokenizer(TEXT, { vocabSize: 290, specialTokens: ['<|endoftext|>'] });
    let tokenizer: Tokenizer;
    before(async () => { tokenizer = await load({ 'tokenizer.json': json }); });

    /** Byte-pair encoding by its definition: the earliest merge that applies, everywhere from left to right, until none does. */
    function encodePlainly(text: string): number[] {
      const [vocab, merges] = [json.model['vocab'] as Record<string, number>, json.model['merges'] as readonly string[]];
      const ids: number[] = [];
      forEachWord(text, (word) => {
        let parts = Array.from(toByteCharacters(word));
        for (;;) {
          const best = merges.find((merge) => parts.some((part, i) => i > 0 && `${parts[i - 1]} ${part}` === merge));
          if (best === undefined) break;
          const joined: string[] = [];
          for (let i = 0; i < parts.length; i++) joined.push(`${parts[i]} ${parts[i + 1]}` === best ? `${parts[i]}${parts[++i]}` : (parts[i] as string));
          parts = joined;
        }
        ids.push(...parts.map((part) => vocab[part] as number));
      });
      return ids;
    }

    it('gives back any text', () => {
      fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => tokenizer.decode(tokenizer.encode(text)) === text), { numRuns: 500 });
    });

    it('encodes as the definition says', () => {
      const piece = fc.oneof(fc.constantFrom('the', ' the', ' cat', 'sat', ' on', 'naïve', '😀', '\n', ' ', '12'), fc.string({ unit: 'grapheme', maxLength: 5 }));
      fc.assert(fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        expect(tokenizer.encode(pieces.join(''), PLAIN)).to.deep.equal(encodePlainly(pieces.join('')));
      }), { numRuns: 300 });
    });

    it('streams what decode gives, without half characters', () => {
      fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 100 }), (text) => {
        const pieces = streamed(tokenizer, tokenizer.encode(text));
        expect(pieces.join('')).to.equal(text);
        expect(pieces.some((part) => /\p{Surrogate}/u.test(part))).to.equal(false);
        if (!text.includes('\ufffd')) expect(pieces.some((part) => part.includes('\ufffd'))).to.equal(false);
      }), { numRuns: 300 });
    });

    it('starts and ends a text with its first special token once it is written', () => withTempFolder(async (folder) => {
      await writeTokenizer(folder, json);
      const loaded = await loadTokenizer(folder);
      expect([loaded.vocabSize, loaded.bosId, loaded.eosId, loaded.encode('a<|endoftext|>').at(-1)]).to.deep.equal([290, 0, 0, 0]);
    }));
  });

  describe('a tokenizer of another kind', () => {
    const vocab = { '<unk>': 0, '<0xE2>': 1, '<0x82>': 2, '<0xAC>': 3, '▁': 4, h: 5, i: 6, '▁h': 7, '▁hi': 8, '<s>': 9 };
    const llama = {
      added_tokens: [{ id: 9, content: '<s>', special: true }],
      normalizer: { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, { type: 'Replace', pattern: { String: ' ' }, content: '▁' }] },
      pre_tokenizer: null,
      post_processor: { type: 'TemplateProcessing', single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }], pair: [], special_tokens: {} },
      decoder: { type: 'Sequence', decoders: [{ type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'ByteFallback' }, { type: 'Fuse' }, { type: 'Strip', content: ' ', start: 1, stop: 0 }] },
      model: { type: 'BPE', unk_token: '<unk>', byte_fallback: true, vocab, merges: ['▁ h', '▁h i'] },
    };

    it('is read through the library, streamed without half characters too', async () => {
      const tokenizer = await load({ 'tokenizer.json': llama });
      const ids = tokenizer.encode('hi €hi');
      expect(ids).to.deep.equal([9, 8, 4, 1, 2, 3, 5, 6]);
      expect(tokenizer.decode(ids)).to.equal('hi €hi');
      expect(streamed(tokenizer, ids)).to.deep.equal(['', 'hi', ' ', '', '', '€', 'h', 'i', '']);
    });
  });

  const broken: readonly (readonly [what: string, files: Files, message: RegExp])[] = [
    ['a folder without a tokenizer', {}, /tokenizer\.json \(or vocab\.json and merges\.txt\) not found/],
    ['a vocabulary without merges', { 'vocab.json': tinyVocabulary() }, /merges\.txt not found/],
    ['merges without a vocabulary', { 'merges.txt': tinyMergesText() }, /vocab\.json not found/],
    ['a tokenizer.json that is cut', { 'tokenizer.json': '{"model": {' }, /tokenizer\.json is not valid JSON/],
    ['a tokenizer.json without a model', { 'tokenizer.json': {} }, /tokenizer\.json: model/],
    ['a model of an unknown kind', { 'tokenizer.json': { model: { type: 'Abacus' } } }, /cannot be used: .*Abacus/],
    ['a tokenizer_config.json that is a list', { ...GPT2_FILES, 'tokenizer_config.json': [] }, /tokenizer_config\.json is not a JSON object/],
  ];
  for (const [what, files, message] of broken) {
    it(`refuses ${what}`, async () => {
      const error = await rejection(load(files), FormatError);
      expect(error.exitCode).to.equal(5);
      expect(error.message).to.match(message);
    });
  }
});
