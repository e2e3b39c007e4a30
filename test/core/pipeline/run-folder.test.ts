import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect } from 'chai';

import { loadDistillConfig } from '../../../src/core/config/load.js';
import { distillConfigSchema } from '../../../src/core/config/schema.js';
import { packageRoot } from '../../../src/core/config/shipped.js';
import { FormatError } from '../../../src/core/errors.js';
import { createRunFolder, runIdentity, runProvenance } from '../../../src/core/pipeline/run-folder.js';
import { copyTokenizer, hasTokenizer } from '../../../src/core/pipeline/tokenizer-files.js';
import { rejection } from '../../support/rejection.js';
import { withTempFolder } from '../../support/temp-folder.js';

const config = (run: string, change: Record<string, unknown> = {}) => distillConfigSchema.parse({ run, teacher: 't', corpus: { kind: 'stories' }, ...change });

describe('pipeline/run-folder', () => {
  it('writes the resolved configuration, which reads back as the same', () => withTempFolder(async (root) => {
    const run = join(root, 'deep', 'run');
    await createRunFolder(config(run, { seed: 9 }));
    expect(await readdir(run)).to.deep.equal(['config.resolved.yaml']);
    expect(await loadDistillConfig({ file: join(run, 'config.resolved.yaml') })).to.deep.equal(config(run, { seed: 9 }));
  }));

  it('replaces the configuration of a run that never saved, and keeps that of one that did', () => withTempFolder(async (run) => {
    const seedOf = async (): Promise<number> => (await loadDistillConfig({ file: join(run, 'config.resolved.yaml') })).seed;
    await createRunFolder(config(run, { seed: 1 }));
    await createRunFolder(config(run, { seed: 2 }));
    expect(await seedOf()).to.equal(2);
    await mkdir(join(run, 'checkpoints', 'step-000100'), { recursive: true });
    await createRunFolder(config(run, { seed: 3 }));
    expect(await seedOf()).to.equal(2);
  }));

  it('says where it cannot write', () => withTempFolder(async (root) => {
    await writeFile(join(root, 'file'), '');
    const refusal = await rejection(createRunFolder(config(join(root, 'file', 'run'))), FormatError);
    expect(refusal.message).to.contain(join(root, 'file', 'run'));
    expect(refusal.exitCode).to.equal(5);
  }));

  it('a run is the same wherever it lies, and another with another seed, setting or corpus', () => {
    const hashes = { corpusSha256: 'c' };
    const identity = runIdentity(config('here'), hashes);
    expect(runIdentity(config('there'), hashes)).to.deep.equal(identity);
    expect(identity).to.not.have.property('run');
    expect(identity).to.include({ seed: 0, corpusSha256: 'c' });
    for (const other of [runIdentity(config('here', { seed: 1 }), hashes), runIdentity(config('here', { student: { decay: 0.5 } }), hashes), runIdentity(config('here'), { corpusSha256: 'd' })]) {
      expect(other).to.not.deep.equal(identity);
    }
  });

  it('a run with a teacher cache is another run, wherever the cache lies; without one its settings say nothing', () => {
    const of = (teacherCache: Record<string, unknown>) => runIdentity(config('here', { teacherCache }), {});
    expect(of({ enabled: false, samples: 5, folder: 'x' })).to.deep.equal(of({})).and.not.have.property('teacherCache');
    expect(of({ enabled: true, folder: 'x' })).to.deep.equal(of({ enabled: true })).and.not.deep.equal(of({}));
    expect(of({ enabled: true, samples: 5 })).to.not.deep.equal(of({ enabled: true }));
  });

  it('provenance says what made a result', async () => {
    const { version } = JSON.parse(await readFile(join(packageRoot(), 'package.json'), 'utf8')) as { version: string };
    const { createdAt, ...rest } = await runProvenance({ name: 'wasm', device: 'CPU', reason: 'asked for' } as Parameters<typeof runProvenance>[0], 5);
    expect(rest).to.deep.equal({ bispik: version, node: process.versions.node, tensorflowJs: '4.22.0', backend: { name: 'wasm', device: 'CPU' }, seed: 5 });
    expect(Math.abs(Date.parse(createdAt) - Date.now())).to.be.below(60_000);
  });
});

describe('pipeline/tokenizer-files', () => {
  it('copies what belongs to a tokenizer, unchanged, and nothing else', () => withTempFolder(async (root) => {
    const [from, to] = [join(root, 'from'), join(root, 'deep', 'to')];
    await mkdir(from);
    for (const name of ['vocab.json', 'merges.txt', 'special_tokens_map.json', 'config.json', 'model.safetensors']) await writeFile(join(from, name), `of ${name}`);
    await copyTokenizer(from, to);
    expect((await readdir(to)).sort()).to.deep.equal(['merges.txt', 'special_tokens_map.json', 'vocab.json']);
    expect(await readFile(join(to, 'merges.txt'), 'utf8')).to.equal('of merges.txt');
  }));

  it('sees a tokenizer by either of its files', () => withTempFolder(async (root) => {
    expect(await hasTokenizer(root)).to.equal(false);
    expect(await hasTokenizer(join(root, 'absent'))).to.equal(false);
    await writeFile(join(root, 'merges.txt'), '');
    expect(await hasTokenizer(root)).to.equal(false);
    for (const name of ['vocab.json', 'tokenizer.json']) {
      await mkdir(join(root, name, '..', `with-${name}`));
      await writeFile(join(root, `with-${name}`, name), '{}');
      expect(await hasTokenizer(join(root, `with-${name}`)), name).to.equal(true);
    }
  }));
});
