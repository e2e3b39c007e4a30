import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect } from 'chai';

import { ExpectationError, FormatError, ShapeError } from '../../../src/core/errors.js';
import type { ImportTeacherOptions } from '../../../src/core/pipeline/import-teacher.js';
import { importTeacher } from '../../../src/core/pipeline/import-teacher.js';
import { prepareBackend } from '../../../src/core/pipeline/prepare-backend.js';
import { downloadTeacher } from '../../../src/core/teacher/parameters.js';
import { teacherNll } from '../../../src/core/teacher/training-task.js';
import { writeTeacher } from '../../../src/core/teacher/weights.js';
import { trainBytePairTokenizer } from '../../../src/core/tokenizer/train-bpe.js';
import { writeTokenizer } from '../../../src/core/tokenizer/write.js';
import { silentReporter } from '../../../src/core/types.js';
import { rejection } from '../../support/rejection.js';
import { withTempFolder } from '../../support/temp-folder.js';
import { tinyTeacher } from '../../support/tiny-models.js';

const context = { reporter: silentReporter, signal: new AbortController().signal };

/** A folder with the source `source` and the token ids `ids.jsonl`; 12 tokens, as the context is long. */
const withSource = (body: (root: string, options: (change?: Partial<ImportTeacherOptions>) => ImportTeacherOptions) => Promise<void>) => withTempFolder(async (root) => {
  await prepareBackend('wasm');
  await writeTeacher(join(root, 'source'), await downloadTeacher(tinyTeacher()), {});
  await writeFile(join(root, 'ids.jsonl'), `${JSON.stringify(IDS)}\n`);
  await body(root, (change) => ({
    source: join(root, 'source'), out: join(root, 'out'), revision: 'main', token: null, endpoint: 'http://127.0.0.1:9', cacheDir: join(root, 'cache'), offline: true,
    overwrite: false, expectPerplexity: null, data: null, bispikVersion: '0', ...change,
  }));
});
const IDS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8];

describe('pipeline/import-teacher', () => {
  it('runs the teacher on the given ids: the loss is that of the source', () => withSource(async (root, options) => {
    const { check } = await importTeacher(options({ data: join(root, 'ids.jsonl') }), context);
    const expected = await teacherNll(tinyTeacher(), [Int32Array.from(IDS)]);
    expect(check?.tokens).to.equal(11);
    expect(check?.nll).to.be.closeTo(expected, 1e-4);
    expect(check?.perplexity).to.be.closeTo(Math.exp(expected), 1e-3 * Math.exp(expected));
    expect((await readdir(join(root, 'out'))).sort()).to.deep.equal(['config.json', 'model.safetensors', 'provenance.json']);
  }));

  it('accepts a perplexity within 1 %, and refuses another, leaving nothing', () => withSource(async (root, options) => {
    const data = join(root, 'ids.jsonl');
    const perplexity = Math.exp(await teacherNll(tinyTeacher(), [Int32Array.from(IDS)]));
    const refusal = await rejection(importTeacher(options({ data, expectPerplexity: perplexity * 1.02 }), context), ExpectationError);
    expect(refusal.message).to.contain(`perplexity ${perplexity.toFixed(2)} on ${data}, expected`).and.contain('nothing was written');
    expect([refusal.exitCode, refusal.suggestions.length]).to.deep.equal([8, 2]);
    expect(await readdir(root)).to.not.include('out');
    await importTeacher(options({ data, expectPerplexity: perplexity * 1.009 }), context);
    expect(await readdir(root)).to.include('out');
  }));

  it('without tokenizer and without ids there is nothing to run it on', () => withSource(async (_root, options) => {
    expect((await importTeacher(options(), context)).check).to.equal(null);
  }));

  it('with a tokenizer it is run on a short text', () => withTempFolder(async (root) => {
    await prepareBackend('wasm');
    const source = join(root, 'source');
    await writeTeacher(source, await downloadTeacher(tinyTeacher({ vocabSize: 270, contextLength: 64 })), {});
    await writeTokenizer(source, trainBytePairTokenizer('the cat sat on the mat and the rat sat on the cat', { vocabSize: 262, specialTokens: ['<|end|>'] }));
    const { check } = await importTeacher({ source, out: join(root, 'out'), revision: 'main', token: null, endpoint: '', cacheDir: root, offline: true, overwrite: false, expectPerplexity: null, data: null, bispikVersion: '0' }, context);
    expect(check?.tokens).to.be.above(200);
    expect(check?.perplexity).to.be.above(1);
    expect(await readFile(join(root, 'out', 'tokenizer.json'))).to.deep.equal(await readFile(join(source, 'tokenizer.json')));
  }));

  it('refuses ids outside the vocabulary and lines that hold none, leaving nothing', () => withSource(async (root, options) => {
    const data = join(root, 'bad.jsonl');
    await writeFile(data, '[1, 13]\n');
    const refusal = await rejection(importTeacher(options({ data }), context), ShapeError);
    expect(refusal.message).to.contain('13');
    await writeFile(data, '{"a": 1}\n');
    await rejection(importTeacher(options({ data }), context), FormatError);
    expect(await readdir(root)).to.not.include('out');
  }));
});
