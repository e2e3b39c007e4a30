import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect } from 'chai';

import { FormatError, ShapeError } from '../../../src/core/errors.js';
import { checkVocabulary, encodeText, readTokenSequences } from '../../../src/core/eval/token-sequences.js';

describe('token sequences', () => {
  let path: string;
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bispik-ids-'));
    path = join(folder, 'ids.jsonl');
  });
  after(() => rm(folder, { recursive: true }));

  async function read(text: string): Promise<readonly Int32Array[]> {
    await writeFile(path, text);
    return readTokenSequences(path);
  }

  it('are one array a line, blank lines and Windows line ends allowed', async () => {
    expect(await read('[2, 3]\r\n\n[]\n [5]')).to.deep.equal([Int32Array.of(2, 3), Int32Array.of(), Int32Array.of(5)]);
  });

  const bad: readonly [string, string][] = [
    ['[1]\n[2,', 'line 2 is not JSON'], ['{"ids": [1]}', 'line 1 is of type object'], ['null', 'line 1 is null'], ['[1, 1.5]', 'entry 1 is 1.5'],
    ['[-1]', 'entry 0 is -1'], ['[4294967296]', 'entry 0 is 4294967296'], ['["a"]', 'entry 0 is "a"'], ['\n \n', 'holds no token sequence'],
  ];
  for (const [text, part] of bad) {
    it(`refuse ${JSON.stringify(text)}`, async () => {
      const error: unknown = await read(text).catch((e: unknown) => e);
      expect(error).to.be.instanceOf(FormatError).with.property('exitCode', 5);
      expect((error as FormatError).message).to.contain(part).and.to.contain('ids.jsonl');
    });
  }

  it('refuse a file that is not there', async () => {
    const error: unknown = await readTokenSequences(join(folder, 'none.jsonl')).catch((e: unknown) => e);
    expect(error).to.be.instanceOf(FormatError).with.property('message').that.contains('none.jsonl');
  });

  it('are one sequence for a text, with the prefix the tokenizer adds', () => {
    const tokenizer = { encode: (text: string, { addSpecialTokens }: { addSpecialTokens: boolean }) => [...(addSpecialTokens ? [2] : []), ...Buffer.from(text)] };
    expect(encodeText('ab', tokenizer)).to.deep.equal([Int32Array.of(2, 97, 98)]);
  });

  it('stay inside the vocabulary', () => {
    checkVocabulary([[0, 3], Int32Array.of(2)], 4);
    expect(() => checkVocabulary([[0, 3], [1, 4]], 4)).to.throw(ShapeError, 'sequence 2, token 2 is the id 4, outside the model\'s vocabulary of 4').with.property('exitCode', 5);
  });
});
