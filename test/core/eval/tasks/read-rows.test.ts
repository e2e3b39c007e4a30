import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { expect } from 'chai';

import { createRandom } from '../../../../src/core/corpus/random.js';
import { FormatError } from '../../../../src/core/errors.js';
import { readRows } from '../../../../src/core/eval/tasks/read-rows.js';
import { rejection } from '../../../support/rejection.js';
import { withTempFolder } from '../../../support/temp-folder.js';

const FIXTURES = path.resolve(import.meta.dirname, '../../../fixtures/parquet');
const ARC = [
  { id: 'a1', question: 'What is low?', choices: { text: ['sea', 'sky', '😀 emoji'], label: ['A', 'B', 'C'] }, answerKey: 'B', n: 7 },
  { id: 'a2', question: null, choices: { text: ['one', 'two'], label: ['1', '2'] }, answerKey: '1', n: null },
  { id: 'a3', question: 'Why?', choices: { text: ['red', 'blue', 'green', 'low'], label: ['A', 'B', 'C', 'D'] }, answerKey: 'D', n: 9007199254740991 },
];
const withFile = (name: string, content: string | Uint8Array, body: (file: string) => Promise<void>) => withTempFolder(async (folder) => {
  const file = path.join(folder, name);
  await writeFile(file, content);
  await body(file);
});

describe('items from Parquet files', () => {
  for (const name of ['arc.plain.parquet', 'arc.snappy.parquet']) {
    it(`${name} gives the rows that were written, by place`, async () => {
      const file = path.join(FIXTURES, name);
      const documents = await readRows(file);
      expect(documents.map(({ row }) => row)).to.deep.equal(ARC);
      expect(documents[2]!.place).to.equal(`${file}, row 3`);
    });
  }

  it('headqa.parquet gives lists of records over 300 rows', async () => {
    const documents = await readRows(path.join(FIXTURES, 'headqa.parquet'));
    expect(documents.length).to.equal(300);
    documents.forEach(({ row }, i) => expect(row).to.deep.equal({ ra: 1 + ((i + 1) % 2), qtext: `question number ${i + 1}`, answers: [{ aid: 1, atext: `low ${i + 1}` }, { aid: 2, atext: 'lower' }] }));
  });

  it('of another compression are refused by its name', async () => {
    const error = await rejection(readRows(path.join(FIXTURES, 'arc.zstd.parquet')), FormatError);
    expect(error.message).to.contain('compressed with ZSTD');
    expect(error.suggestions[0]).to.contain('snappy');
  });

  it('cut short at any length are refused as such', () => withTempFolder(async (folder) => {
    const whole = await readFile(path.join(FIXTURES, 'arc.snappy.parquet'));
    for (let length = 0; length < whole.length; length += 7) {
      const file = path.join(folder, `${length}.parquet`);
      await writeFile(file, whole.subarray(0, length));
      const error = await rejection(readRows(file), FormatError);
      expect(error.exitCode).to.equal(5);
      expect(error.message).to.contain(file);
      expect(error.suggestions.join()).to.contain('cut short');
    }
  }));

  it('with damaged bytes are read or refused, never met with anything else', () => withTempFolder(async (folder) => {
    const random = createRandom(11);
    const whole = await readFile(path.join(FIXTURES, 'arc.snappy.parquet'));
    for (let trial = 0; trial < 120; trial++) {
      const file = path.join(folder, `${trial}.parquet`);
      await writeFile(file, Uint8Array.from(whole).with(random.integer(whole.length), random.integer(256)));
      await readRows(file).catch((error: unknown) => expect(error).to.be.instanceOf(FormatError));
    }
  }));

  it('that are a pointer of Git LFS, or not there, are refused', async () => {
    await withFile('x.parquet', 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n', async (file) => {
      expect((await rejection(readRows(file), FormatError)).suggestions[0]).to.contain('Git-LFS');
    });
    expect((await rejection(readRows('/nowhere/x.parquet'), FormatError)).message).to.contain('/nowhere/x.parquet').and.to.contain('ENOENT');
  });
});

describe('items from JSON Lines', () => {
  it('are objects, one a line; blank lines and a missing last newline do not matter', () => withFile('x.jsonl', '{"a":1}\r\n\n{"a":"\u2028"}', async (file) => {
    expect(await readRows(file)).to.deep.equal([{ row: { a: 1 }, place: `${file}:1` }, { row: { a: '\u2028' }, place: `${file}:3` }]);
  }));

  it('may be longer than what is read at once', () => {
    const long = 'é'.repeat(150_000);
    return withFile('x.jsonl', `{"a":"${long}"}\r\n{"a":"${long}b"}\n{"a":2}`, async (file) => {
      expect((await readRows(file)).map(({ row, place }) => [row['a'], place])).to.deep.equal([[long, `${file}:1`], [`${long}b`, `${file}:2`], [2, `${file}:3`]]);
    });
  });

  for (const [content, found] of [['{"a":1}\n{"a":', 'x.jsonl:2 is not JSON'], ['[1]\n', 'x.jsonl:1 must be an object'], ['\n', 'holds no item'], ['', 'holds no item']] as const) {
    it(`${JSON.stringify(content)}: ${found}`, () => withFile('x.jsonl', content, async (file) => { expect((await rejection(readRows(file), FormatError)).message).to.contain(found); }));
  }

  it('take their labels from the file beside them, line by line', () => withFile('valid.half.jsonl', '{"goal":"a"}\n{"goal":"b"}\n', async (file) => {
    await writeFile(path.join(path.dirname(file), 'valid-labels.half.lst'), '1\n0\n');
    expect((await readRows(file)).map(({ row }) => row)).to.deep.equal([{ goal: 'a', label: '1' }, { goal: 'b', label: '0' }]);
    await writeFile(path.join(path.dirname(file), 'valid-labels.half.lst'), '1\n');
    expect((await rejection(readRows(file), FormatError)).message).to.contain('valid-labels.half.lst has 1 labels for the 2 items');
  }));
});
