import { expect } from 'chai';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { ExpectationError, FormatError, Interrupted, NumericError, UsageError } from '../../../src/core/errors.js';
import type { ImportOptions } from '../../../src/core/teacher/import.js';
import { importTeacher } from '../../../src/core/teacher/import.js';
import { BYTE_CHARACTERS } from '../../../src/core/tokenizer/byte-alphabet.js';
import { loadTokenizer } from '../../../src/core/tokenizer/load.js';
import { loadTeacher } from '../../../src/core/teacher/weights.js';
import type { RunContext } from '../../../src/core/types.js';
import { rejection } from '../../support/rejection.js';
import { TINY_OPT_CONFIG, tinyOptTensors, writeTinyOpt } from '../../support/tiny-opt.js';

describe('teacher/import', () => {
  let root: string;
  let source: string;
  let out: string;
  let notices: string[];
  let context: RunContext;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'bispik-import-'));
    source = await writeTinyOpt(join(root, 'source'), tinyOptTensors('decoder.'));
    out = join(root, 'models', 'tiny');
    notices = [];
    context = { reporter: { progress: () => undefined, notice: (message) => notices.push(message) }, signal: new AbortController().signal };
  });
  afterEach(() => rm(root, { recursive: true }));

  const options = (change: Partial<ImportOptions> = {}): ImportOptions => ({
    source, out, overwrite: false, bispikVersion: '1.2.3', download: () => Promise.reject(new Error('nothing is downloaded')), ...change,
  });
  const modelsLeft = (): Promise<readonly string[]> => readdir(join(root, 'models')).catch(() => []);

  it('writes a folder that loads as the same teacher, with where it comes from', async () => {
    const result = await importTeacher(options(), context);
    expect(result.path).to.equal(out);
    // 24 + 28 + 8 around, 2·8 norms + 4·(16 + 4) attention + 32 + 8 + 32 + 4 feed-forward inside the layer
    expect([result.family, result.parameters, result.vocabSize, result.dtype, result.check]).to.deep.equal(['opt', 232, 6, 'float32', null]);
    const weights = await loadTeacher(out);
    expect(weights.sha256).to.equal(result.weightsSha256).and.to.equal((await loadTeacher(source)).sha256);
    const original = await readFile(join(source, 'model.safetensors'));
    const listed = result.provenance.files.find((file) => file.name === 'model.safetensors');
    expect(listed).to.deep.equal({ name: 'model.safetensors', sizeBytes: original.length, sha256: createHash('sha256').update(original).digest('hex') });
    const stored = JSON.parse(await readFile(join(out, 'provenance.json'), 'utf8')) as Record<string, unknown>;
    expect(stored).to.deep.equal({ ...result.provenance, weightsSha256: result.weightsSha256 });
    expect([result.provenance.commit, result.provenance.bispikVersion, result.provenance.sourceDtypes]).to.deep.equal([null, '1.2.3', ['F32']]);
    expect(Math.abs(Date.parse(result.provenance.date) - Date.now())).to.be.below(60_000);
  });

  it('tells that there is no tokenizer', async () => {
    expect((await importTeacher(options(), context)).tokenizer).to.equal(null);
    expect(notices.join()).to.contain('has no tokenizer');
  });

  /** OPT's special tokens, all bytes from id 4 on, and one merge. */
  async function writeGpt2Files(): Promise<void> {
    const vocab = Object.fromEntries(['<s>', '<pad>', '</s>', '<unk>', ...BYTE_CHARACTERS, 'ab'].map((token, id) => [token, id]));
    await writeFile(join(source, 'vocab.json'), JSON.stringify(vocab));
    await writeFile(join(source, 'merges.txt'), '#version: 0.2\na b\n');
  }

  it('makes tokenizer.json from vocab.json and merges.txt, </s> before every text', async () => {
    await writeTinyOpt(source, tinyOptTensors().set('model.decoder.embed_tokens.weight', { shape: [264, 4], values: new Float32Array(1056) }), { ...TINY_OPT_CONFIG, vocab_size: 264 });
    await writeGpt2Files();
    expect((await importTeacher(options(), context)).tokenizer).to.equal('vocab.json + merges.txt');
    const tokenizer = await loadTokenizer(out);
    // a is byte 97, b byte 98: ids 101 and 102
    expect(tokenizer.encode('abba')).to.deep.equal([2, 260, 102, 101]);
    expect([tokenizer.vocabSize, tokenizer.bosId, tokenizer.eosId, tokenizer.decode([260, 101])]).to.deep.equal([261, 2, 2, 'aba']);
    expect(await readdir(out)).to.include.members(['vocab.json', 'merges.txt', 'tokenizer.json', 'tokenizer_config.json']);
    expect(notices).to.deep.equal([]);
    const again = join(root, 'again');
    expect((await importTeacher(options({ source: out, out: again }), context)).tokenizer).to.equal('tokenizer.json');
    expect((await loadTokenizer(again)).hash).to.equal(tokenizer.hash);
  });

  it('refuses a tokenizer that is incomplete or larger than the model', async () => {
    await writeGpt2Files();
    expect((await rejection(importTeacher(options(), context), FormatError)).message).to.contain('the tokenizer has 261 tokens, config.json says vocab_size 6');
    await rm(join(source, 'merges.txt'));
    expect((await rejection(importTeacher(options(), context), FormatError)).message).to.contain('merges.txt');
    expect(await modelsLeft()).to.deep.equal([]);
  });

  it('imports what a download brings, with its commit', async () => {
    const asked: string[] = [];
    const download: ImportOptions['download'] = async (repository) => {
      asked.push(repository);
      return { folder: source, source: repository, commit: 'c0ffee', files: [] };
    };
    const result = await importTeacher(options({ source: 'facebook/opt-125m', download }), context);
    expect(asked).to.deep.equal(['facebook/opt-125m']);
    expect([result.provenance.source, result.provenance.commit]).to.deep.equal(['facebook/opt-125m', 'c0ffee']);
  });

  it('hands the new folder to the check before it gets its name, and leaves nothing when the check fails', async () => {
    const check = { tokens: 10, nll: 2, perplexity: Math.exp(2) };
    const result = await importTeacher(options({ check: async (weights, folder) => {
      expect(folder).to.not.equal(out);
      expect((await loadTeacher(folder)).sha256).to.equal(weights.sha256);
      return check;
    } }), context);
    expect(result.check).to.deep.equal(check);
    await rm(out, { recursive: true });
    const failing = importTeacher(options({ check: () => Promise.reject(new ExpectationError('perplexity 30, 27.65 expected')) }), context);
    expect((await rejection(failing, ExpectationError)).exitCode).to.equal(8);
    expect(await modelsLeft()).to.deep.equal([]);
  });

  it('writes nothing when the weights are refused', async () => {
    const tensors = tinyOptTensors();
    tensors.get('model.decoder.layers.0.fc1.weight')!.values[0] = NaN;
    await writeTinyOpt(source, tensors);
    await rejection(importTeacher(options(), context), NumericError);
    await writeFile(join(source, 'model.safetensors'), 'short');
    await rejection(importTeacher(options(), context), FormatError);
    expect(await modelsLeft()).to.deep.equal([]);
  });

  it('replaces an older import only when asked, and keeps it when the new one fails', async () => {
    await importTeacher(options(), context);
    expect((await rejection(importTeacher(options(), context), UsageError)).message).to.contain('is already there');
    await rejection(importTeacher(options({ overwrite: true, check: () => Promise.reject(new ExpectationError('x')) }), context), ExpectationError);
    await loadTeacher(out);
    await importTeacher(options({ overwrite: true }), context);
    expect(await modelsLeft()).to.deep.equal(['tiny']);
  });

  it('never replaces its own source', async () => {
    const refusal = await rejection(importTeacher(options({ out: source, overwrite: true }), context), UsageError);
    expect(refusal.message).to.contain('is the source folder itself');
    const around = join(root, 'around');
    await mkdir(around);
    await cp(source, join(around, 'inner'), { recursive: true });
    await writeFile(join(around, 'config.json'), '{}');
    await rejection(importTeacher(options({ source: join(around, 'inner'), out: around, overwrite: true }), context), UsageError);
    await loadTeacher(join(around, 'inner'));
  });

  it('says what a source must be', async () => {
    const absent = await rejection(importTeacher(options({ source: './absent/folder' }), context), UsageError);
    expect(absent.message).to.contain('no such folder, and not a repository id');
    const file = await rejection(importTeacher(options({ source: join(source, 'config.json') }), context), UsageError);
    expect(file.message).to.contain('is a file');
  });

  it('stops when interrupted and leaves nothing', async () => {
    const controller = new AbortController();
    controller.abort();
    expect((await rejection(importTeacher(options(), { ...context, signal: controller.signal }), Interrupted)).exitCode).to.equal(130);
    expect(await modelsLeft()).to.deep.equal([]);
  });
});
