import { expect } from 'chai';
import fc from 'fast-check';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeUtf8, findInvalidUtf8, readCorpusText, splitText } from '../../../src/core/corpus/text.js';
import { ConfigError, FormatError, type BispikError } from '../../../src/core/errors.js';

/** What a promise rejects with. */
async function rejection(promise: Promise<unknown>): Promise<BispikError> {
  return promise.then(() => expect.fail('nothing was thrown'), (error: unknown) => error as BispikError);
}

describe('UTF-8', () => {
  const cases: readonly [string, readonly number[], number][] = [
    ['ASCII', [0x61, 0x62], -1],
    ['two, three and four bytes', [...Buffer.from('é€😀')], -1],
    ['a lone continuation byte', [0x61, 0x80], 1],
    ['an overlong slash', [0x61, 0x62, 0xc0, 0xaf], 2],
    ['an overlong three-byte sequence', [0xe0, 0x80, 0x80], 0],
    ['a surrogate', [0x61, 0xed, 0xa0, 0x80], 1],
    ['a code point over 10FFFF', [0xf4, 0x90, 0x80, 0x80], 0],
    ['Latin-1', [...Buffer.from('caf\xe9 noir', 'latin1')], 3],
    ['a character cut off at the end', [0x61, 0xe2, 0x82], 1],
  ];
  for (const [name, bytes, offset] of cases) {
    it(`${name}: ${offset < 0 ? 'valid' : `first bad byte at ${offset}`}`, () => {
      expect(findInvalidUtf8(Uint8Array.from(bytes))).to.equal(offset);
    });
  }

  it('agrees with the platform decoder on which byte strings are valid', () => {
    const byte = fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constantFrom(0x80, 0xbf, 0xc2, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0x9f, 0xa0, 0x90));
    fc.assert(fc.property(fc.array(byte, { maxLength: 6 }), (bytes) => {
      const isValid = ((): boolean => {
        try {
          new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(bytes));
          return true;
        } catch {
          return false;
        }
      })();
      expect(findInvalidUtf8(Uint8Array.from(bytes)) < 0).to.equal(isValid);
    }), { numRuns: 3000 });
  });

  it('drops a byte order mark', () => {
    expect(decodeUtf8(Uint8Array.from([0xef, 0xbb, 0xbf, 0x61]), 'x')).to.equal('a');
  });
});

describe('readCorpusText', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bispik-text-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));
  const write = async (content: string | Uint8Array): Promise<string> => {
    const path = join(folder, 'corpus.txt');
    await writeFile(path, content);
    return path;
  };

  it('reads the whole file', async () => {
    expect(await readCorpusText(await write('Grüße, 世界\n'))).to.equal('Grüße, 世界\n');
  });

  it('cuts at the last character that fits into maxBytes', async () => {
    const path = await write('aé😀b'); // bytes: a 1, é 2, 😀 4, b 1
    const texts = await Promise.all([1, 2, 3, 4, 6, 7, 8, 9].map((maxBytes) => readCorpusText(path, maxBytes)));
    expect(texts).to.deep.equal(['a', 'a', 'aé', 'aé', 'aé', 'aé😀', 'aé😀b', 'aé😀b']);
  });

  it('names the byte offset of the first invalid byte, and how to convert', async () => {
    const error = await rejection(readCorpusText(await write(Buffer.from('caf\xe9 noir', 'latin1'))));
    expect(error).to.be.instanceOf(FormatError).with.property('exitCode', 5);
    expect(error.message).to.contain('byte 0xe9 at offset 3');
    expect(error.suggestions.join()).to.contain('iconv');
  });

  it('still sees an invalid byte just before the cut', async () => {
    const error = await rejection(readCorpusText(await write(Uint8Array.from([0x61, 0x80, 0x80, 0x80, 0x80, 0x80])), 5));
    expect(error.message).to.contain('at offset 1');
  });

  it('refuses an empty file, one of white space, and one that is not there', async () => {
    for (const [content, part] of [['', 'no bytes'], [' \n\t', 'white space']] as const) {
      const error = await rejection(readCorpusText(await write(content)));
      expect(error).to.be.instanceOf(FormatError).with.property('exitCode', 5);
      expect(error.message).to.contain('is empty').and.contain(part);
    }
    const missing = await rejection(readCorpusText(join(folder, 'nowhere.txt')));
    expect(missing).to.be.instanceOf(FormatError);
    expect(missing.message).to.contain('nowhere.txt').and.contain('ENOENT');
    expect(await rejection(readCorpusText(folder))).to.be.instanceOf(FormatError);
  });

  it('refuses a maxBytes that is no count', async () => {
    expect(await rejection(readCorpusText(await write('a'), 0))).to.be.instanceOf(ConfigError).with.property('exitCode', 3);
  });
});

describe('splitText', () => {
  it('gives the last part to validation', () => {
    expect(splitText('abcdefghij', 0.3)).to.deep.equal({ train: 'abcdefg', valid: 'hij' });
  });

  it('never splits a surrogate pair', () => {
    expect(splitText('a😀b', 0.5)).to.deep.equal({ train: 'a', valid: '😀b' });
  });

  it('loses nothing, whatever the text', () => {
    fc.assert(fc.property(fc.string({ unit: 'grapheme', minLength: 10 }), fc.double({ min: 0.2, max: 0.8, noNaN: true }), (text, fraction) => {
      const { train, valid } = splitText(text, fraction);
      expect(train + valid).to.equal(text);
      expect(Buffer.from(train).toString() + Buffer.from(valid).toString()).to.equal(text);
    }));
  });

  it('refuses fractions outside (0, 1) and texts it would leave a part of empty', () => {
    for (const fraction of [0, 1, -0.1, Number.NaN]) expect(() => splitText('abcdef', fraction)).to.throw(ConfigError, 'validFraction').with.property('exitCode', 3);
    expect(() => splitText('ab', 0.9)).to.throw(ConfigError, 'would be empty');
  });
});
