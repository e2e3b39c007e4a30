import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { expect } from 'chai';

import { DownloadError, FormatError } from '../../../src/core/errors.js';
import { chooseDatasetFiles, downloadSplit, PARQUET_REVISION } from '../../../src/core/hub/dataset-files.js';
import type { DatasetSplit } from '../../../src/core/hub/dataset-files.js';
import { silentReporter } from '../../../src/core/types.js';
import type { HubServer } from '../../support/hub-server.js';
import { commitOf, startHub } from '../../support/hub-server.js';
import { rejection } from '../../support/rejection.js';
import { withTempFolder } from '../../support/temp-folder.js';

const ctx = { reporter: silentReporter, signal: new AbortController().signal };
const REPO = 'owner/items';
const BIG = new Uint8Array(5000).fill(7);
const SMALL = new TextEncoder().encode('{"a":1}\n');

describe('files of a dataset\'s split', () => {
  const choose = (present: readonly string[], name: string, split = 'test') => chooseDatasetFiles(present, REPO, { name, split });

  it('are found in every layout the Hub\'s tools write, all shards of it', () => {
    expect(choose(['E/test-00001-of-00002.parquet', 'E/test-00000-of-00002.parquet', 'E/train-00000-of-00001.parquet', 'C/test-00000-of-00001.parquet'], 'E')).to.deep.equal(['E/test-00000-of-00002.parquet', 'E/test-00001-of-00002.parquet']);
    expect(choose(['E/test/0000.parquet', 'E/test/0001.parquet', 'E/train/0000.parquet'], 'E')).to.deep.equal(['E/test/0000.parquet', 'E/test/0001.parquet']);
    expect(choose(['README.md', 'data/test-00000-of-00001.parquet'], 'default')).to.deep.equal(['data/test-00000-of-00001.parquet']);
    expect(choose(['test.jsonl', 'tests.jsonl', 'x/test.jsonl'], 'default')).to.deep.equal(['test.jsonl']);
    expect(choose(['a+b/test.parquet', 'aab/test.parquet'], 'a+b')).to.deep.equal(['a+b/test.parquet']);
  });

  it('that are not there are told with what is', () => {
    expect(() => choose(['E/validation.jsonl', 'x.py'], 'E')).to.throw(FormatError, 'owner/items has no file of the split test of E; found E/validation.jsonl');
    expect(() => choose(['x.py'], 'E')).to.throw(FormatError, 'no .parquet or .jsonl at all');
  });
});

describe('downloading a split', () => {
  let hub: HubServer;
  beforeEach(async () => {
    hub = await startHub();
    const files = { 'README.md': SMALL, 'E/test-00000-of-00001.parquet': BIG, 'E/train-00000-of-00001.parquet': BIG, 'C/test.jsonl': SMALL };
    hub.repositories.set(REPO, { commits: { [commitOf('a')]: files, [commitOf('b')]: { 'old/test/0000.parquet': BIG } }, refs: { main: commitOf('a'), [PARQUET_REVISION]: commitOf('b') }, token: null });
  });
  afterEach(() => hub.close());

  const download = (cacheDir: string, wanted: DatasetSplit, changes: { readonly offline?: boolean; readonly revision?: string } = {}) =>
    downloadSplit({ repo: REPO, revision: 'main', token: null, endpoint: hub.endpoint, cacheDir, offline: false, retryDelaysMs: [], ...changes }, wanted, ctx);

  it('brings its files, and no others, of the commit the branch points at, where Hugging Face\'s tools keep them', () => withTempFolder(async (cacheDir) => {
    const snapshot = await download(cacheDir, { name: 'E', split: 'test' });
    expect([snapshot.commit, snapshot.files.map(({ name }) => name)]).to.deep.equal([commitOf('a'), ['E/test-00000-of-00001.parquet']]);
    expect(snapshot.folder).to.equal(path.join(cacheDir, 'datasets--owner--items', 'snapshots', commitOf('a')));
    expect(new Uint8Array(await readFile(path.join(snapshot.folder, 'E/test-00000-of-00001.parquet')))).to.deep.equal(BIG);
    expect(hub.requests.filter(({ path: asked }) => asked.includes('train') || asked.includes('README'))).to.deep.equal([]);
  }));

  it('keeps the splits of one commit apart, and needs no network for what is there', () => withTempFolder(async (cacheDir) => {
    await download(cacheDir, { name: 'E', split: 'test' });
    const { files } = await download(cacheDir, { name: 'C', split: 'test' });
    expect(files.map(({ name }) => name)).to.deep.equal(['C/test.jsonl']);
    const before = hub.requests.length;
    await download(cacheDir, { name: 'C', split: 'test' }, { revision: commitOf('a') });
    expect(hub.requests.length).to.equal(before);
    await hub.close();
    expect((await download(cacheDir, { name: 'E', split: 'test' }, { offline: true })).files.length).to.equal(1);
    hub = await startHub();
  }));

  it('takes the Hub\'s own Parquet copy where main has no such file, and says what is wrong where that has none either', () => withTempFolder(async (cacheDir) => {
    const snapshot = await download(cacheDir, { name: 'old', split: 'test' });
    expect([snapshot.commit, snapshot.files[0]!.name]).to.deep.equal([commitOf('b'), 'old/test/0000.parquet']);
    const error = await rejection(download(cacheDir, { name: 'old', split: 'train' }), FormatError);
    expect(error.message).to.contain('split train of old').and.to.contain('E/test-00000-of-00001.parquet');
    delete hub.repositories.get(REPO)!.refs[PARQUET_REVISION];
    expect((await rejection(download(cacheDir, { name: 'C', split: 'train' }), FormatError)).message).to.contain('split train of C');
    await rejection(download(cacheDir, { name: 'old', split: 'test' }, { revision: 'none' }), DownloadError);
  }));

  it('refuses names that would leave the cache', () => withTempFolder(async (cacheDir) => {
    hub.repositories.get(REPO)!.commits[commitOf('a')] = { 'E/../../../test.parquet': BIG };
    expect((await rejection(download(cacheDir, { name: 'E', split: 'test' }), DownloadError)).message).to.contain('no Hub\'s answer');
  }));
});
