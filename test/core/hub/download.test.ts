import { expect } from 'chai';
import { lstat, mkdir, open, readdir, readFile, writeFile } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { DownloadError, FormatError, Interrupted, UsageError } from '../../../src/core/errors.js';
import type { DownloadOptions } from '../../../src/core/hub/download.js';
import { downloadSnapshot } from '../../../src/core/hub/download.js';
import type { ProgressEvent, RunContext } from '../../../src/core/types.js';
import type { HubServer } from '../../support/hub-server.js';
import { commitOf, gitSha1Of, sha256Of, startHub } from '../../support/hub-server.js';
import { rejection } from '../../support/rejection.js';
import { withTempFolder } from '../../support/temp-folder.js';

const REPO = 'owner/tiny-opt';
const CONFIG = new TextEncoder().encode('{"model_type":"opt"}');
const WEIGHTS = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 31 + (i >> 8)) % 251);
const FILES = {
  'config.json': CONFIG, 'vocab.json': new TextEncoder().encode('{"a":0}'), 'merges.txt': new TextEncoder().encode('#version: 0.2\n'),
  'README.md': new TextEncoder().encode('# no part of the model'), 'tf_model.h5': new Uint8Array(5000), 'pytorch_model.bin': WEIGHTS,
};

describe('hub/download', () => {
  let hub: HubServer;
  beforeEach(async () => {
    hub = await startHub();
    hub.repositories.set(REPO, { commits: { [commitOf('a')]: { ...FILES } }, refs: { main: commitOf('a') }, token: null });
  });
  afterEach(() => hub.close());

  interface Heard {
    readonly context: RunContext;
    readonly notices: string[];
    readonly progress: ProgressEvent[];
    readonly abort: () => void;
  }

  function listen(): Heard {
    const controller = new AbortController();
    const [notices, progress]: [string[], ProgressEvent[]] = [[], []];
    return {
      notices, progress, abort: () => controller.abort(),
      context: { signal: controller.signal, reporter: { notice: (message) => notices.push(message), progress: (event) => progress.push(event) } },
    };
  }

  function options(cacheDir: string, changes: Partial<DownloadOptions> = {}): DownloadOptions {
    return { repo: REPO, revision: 'main', token: null, endpoint: hub.endpoint, cacheDir, offline: false, retryDelaysMs: [], ...changes };
  }

  const download = (cacheDir: string, changes: Partial<DownloadOptions> = {}, heard = listen()) => downloadSnapshot(options(cacheDir, changes), heard.context);
  const contentRequests = () => hub.requests.filter(({ host }) => host === 'cdn');
  const storage = (cacheDir: string, ...names: string[]) => path.join(cacheDir, 'models--owner--tiny-opt', ...names);

  it('fetches configuration, tokenizer and weights of the commit a branch points at, and nothing else', () => withTempFolder(async (cacheDir) => {
    const heard = listen();
    const snapshot = await download(cacheDir, {}, heard);
    expect(snapshot).to.deep.equal({
      folder: storage(cacheDir, 'snapshots', commitOf('a')), source: REPO, commit: commitOf('a'),
      files: (['config.json', 'vocab.json', 'merges.txt', 'pytorch_model.bin'] as const).map((name) => ({ name, sizeBytes: FILES[name].length, sha256: sha256Of(FILES[name]) })),
    });
    expect(await readdir(snapshot.folder)).to.have.members(snapshot.files.map(({ name }) => name));
    expect(new Uint8Array(await readFile(path.join(snapshot.folder, 'pytorch_model.bin')))).to.deep.equal(WEIGHTS);
    expect(heard.progress.at(-1)).to.deep.equal({ phase: 'verify pytorch_model.bin', done: 300_000, total: 300_000, unit: 'bytes' });
    expect(heard.progress.filter(({ phase }) => phase === 'download pytorch_model.bin').at(-1)).to.include({ done: 300_000, total: 300_000 });
  }));

  it('keeps files where Hugging Face tools look for them: blobs by hash, linked names, the commit under refs', () => withTempFolder(async (cacheDir) => {
    const { folder } = await download(cacheDir);
    expect((await readdir(storage(cacheDir, 'blobs'))).sort()).to.deep.equal([gitSha1Of(CONFIG), gitSha1Of(FILES['vocab.json']), gitSha1Of(FILES['merges.txt']), sha256Of(WEIGHTS)].sort());
    expect((await lstat(path.join(folder, 'config.json'))).isSymbolicLink()).to.equal(true);
    expect(await readFile(storage(cacheDir, 'refs', 'main'), 'utf8')).to.equal(commitOf('a'));
  }));

  it('continues a download that was cut, asking only for the rest', () => withTempFolder(async (cacheDir) => {
    hub.cuts.set('pytorch_model.bin', [100_000]);
    const error = await rejection(download(cacheDir), DownloadError);
    expect(error.exitCode).to.equal(4);
    expect(error.message).to.match(/100000 of 300000 bytes of pytorch_model\.bin have arrived/);
    expect(error.suggestions[0]).to.match(/same command again/);
    expect((await readFile(storage(cacheDir, 'blobs', `${sha256Of(WEIGHTS)}.incomplete`))).length).to.equal(100_000);
    const snapshot = await download(cacheDir);
    expect(contentRequests().map(({ range }) => range)).to.deep.equal([null, 'bytes=100000-']);
    expect(snapshot.files.at(-1)?.sha256).to.equal(sha256Of(WEIGHTS));
    expect((await readdir(storage(cacheDir, 'blobs'))).filter((name) => name.endsWith('.incomplete'))).to.deep.equal([]);
  }));

  it('tries a cut connection and a busy server again by itself, and says so', () => withTempFolder(async (cacheDir) => {
    hub.cuts.set('pytorch_model.bin', [1000, 2000]);
    hub.failures.push(503);
    const heard = listen();
    await download(cacheDir, { retryDelaysMs: [1, 1] }, heard);
    expect(contentRequests().map(({ range }) => range)).to.deep.equal([null, 'bytes=1000-', 'bytes=3000-']);
    expect(heard.notices).to.have.length(3);
    expect(heard.notices[0]).to.match(/503.*trying again in 0\.001 s/);
  }));

  it('starts over when the server ignores the range', () => withTempFolder(async (cacheDir) => {
    hub.cuts.set('pytorch_model.bin', [1000]);
    hub.hasRanges = false;
    await download(cacheDir, { retryDelaysMs: [1] });
    expect(contentRequests().map(({ range }) => range)).to.deep.equal([null, 'bytes=1000-']);
  }));

  for (const [what, name, forged] of [['an LFS file', 'pytorch_model.bin', WEIGHTS.with(7, 0)], ['a small file', 'config.json', CONFIG.with(3, 0x2e)]] as const) {
    it(`refuses ${what} with the right size and a wrong hash, and puts nothing in place`, () => withTempFolder(async (cacheDir) => {
      hub.forged.set(name, forged);
      const error = await rejection(download(cacheDir), DownloadError);
      expect(error.exitCode).to.equal(4);
      expect(error.message).to.contain(`${name} arrived damaged`);
      const hash = name === 'config.json' ? gitSha1Of(CONFIG) : sha256Of(WEIGHTS);
      expect((await readdir(storage(cacheDir, 'blobs'))).filter((kept) => kept.startsWith(hash))).to.deep.equal([]);
      hub.forged.clear();
      expect((await download(cacheDir)).files).to.have.length(4);
    }));
  }

  it('refuses a file that is longer than the Hub says', () => withTempFolder(async (cacheDir) => {
    hub.forged.set('pytorch_model.bin', new Uint8Array(300_001));
    expect((await rejection(download(cacheDir), DownloadError)).message).to.match(/more than 300000 bytes/);
  }));

  it('says 401 with what to do, and sends the token to the hub but not where it forwards to', () => withTempFolder(async (cacheDir) => {
    hub.repositories.set(REPO, { commits: { [commitOf('a')]: FILES }, refs: { main: commitOf('a') }, token: 'hf_secret' });
    const error = await rejection(download(cacheDir), DownloadError);
    expect(error).to.include({ exitCode: 4, status: 401 });
    expect(error.suggestions.join('\n')).to.match(/HF_TOKEN or --token/);
    expect(JSON.stringify([error.message, error.suggestions])).not.to.contain('hf_secret');
    await download(cacheDir, { token: 'hf_secret' });
    expect(contentRequests().map(({ authorization }) => authorization)).to.deep.equal([null]);
    expect(hub.requests.at(-2)).to.include({ host: 'hub', authorization: 'Bearer hf_secret' });
  }));

  it('says 404 for a repository and for a revision that do not exist', () => withTempFolder(async (cacheDir) => {
    const missing = await rejection(download(cacheDir, { repo: 'owner/none', token: 'hf_x' }), DownloadError);
    expect(missing).to.include({ exitCode: 4, status: 404 });
    expect(missing.suggestions.join('\n')).to.match(/check the repository id owner\/none/);
    const revision = await rejection(download(cacheDir, { revision: 'v9' }), DownloadError);
    expect(revision).to.include({ status: 404 });
    expect(revision.message).to.match(/has no revision v9/);
  }));

  it('follows a branch that moves, fetching only what changed, and keeps the old commit', () => withTempFolder(async (cacheDir) => {
    await download(cacheDir);
    const moved = { ...FILES, 'config.json': new TextEncoder().encode('{"model_type":"opt","note":2}') };
    const repo = hub.repositories.get(REPO);
    if (repo === undefined) throw new Error('the repository is gone');
    repo.commits[commitOf('b')] = moved;
    repo.refs['main'] = commitOf('b');
    const snapshot = await download(cacheDir);
    expect(snapshot.commit).to.equal(commitOf('b'));
    expect(await readFile(path.join(snapshot.folder, 'config.json'), 'utf8')).to.contain('"note":2');
    expect(contentRequests()).to.have.length(1);
    expect((await download(cacheDir, { revision: commitOf('a'), offline: true })).commit).to.equal(commitOf('a'));
  }));

  it('needs no network for a cached commit, nor for a branch when told to stay offline', () => withTempFolder(async (cacheDir) => {
    const first = await download(cacheDir);
    hub.requests.length = 0;
    expect(await download(cacheDir, { revision: commitOf('a') })).to.deep.equal(first);
    expect(await download(cacheDir, { offline: true })).to.deep.equal(first);
    expect(hub.requests).to.deep.equal([]);
  }));

  it('says what is not cached when told to stay offline', () => withTempFolder(async (cacheDir) => {
    const error = await rejection(download(cacheDir, { offline: true }), DownloadError);
    expect(error.message).to.match(/owner\/tiny-opt at main is not \(completely\) in/);
    expect(error.suggestions[0]).to.match(/without --offline/);
    hub.cuts.set('pytorch_model.bin', [10]);
    await rejection(download(cacheDir), DownloadError);
    await rejection(download(cacheDir, { revision: commitOf('a'), offline: true }), FormatError);
  }));

  it('falls back to the cached commit when the hub cannot be reached, and says so', () => withTempFolder(async (cacheDir) => {
    const first = await download(cacheDir);
    const heard = listen();
    await hub.close();
    expect(await download(cacheDir, {}, heard)).to.deep.equal(first);
    expect(heard.notices.join()).to.contain(`using the cached commit ${commitOf('a')}`);
    const error = await rejection(download(cacheDir, { repo: 'owner/other' }), DownloadError);
    expect(error.message).to.contain('ECONNREFUSED');
    expect(error.suggestions.join()).to.contain('--endpoint');
  }));

  it('notices damage in the cache and fetches that file again', () => withTempFolder(async (cacheDir) => {
    await download(cacheDir);
    await writeFile(storage(cacheDir, 'blobs', sha256Of(WEIGHTS)), WEIGHTS.with(0, 99));
    const heard = listen();
    await rejection(download(cacheDir, { offline: true }), DownloadError);
    const snapshot = await download(cacheDir, {}, heard);
    expect(snapshot.files.at(-1)?.sha256).to.equal(sha256Of(WEIGHTS));
    expect(heard.notices.join()).to.match(/damaged/);
  }));

  it('stops when aborted, keeps what has arrived and continues from there', () => withTempFolder(async (cacheDir) => {
    const heard = listen();
    hub.stalls.set('pytorch_model.bin', 50_000);
    const progress = (event: ProgressEvent): void => { if (event.done === 50_000) heard.abort(); };
    const context = { ...heard.context, reporter: { ...heard.context.reporter, progress } };
    const error = await rejection(downloadSnapshot(options(cacheDir, { retryDelaysMs: [5000] }), context), Interrupted);
    expect([error.exitCode, error.suggestions.join()]).to.deep.equal([130, 'run the same command again: it continues where it stopped']);
    hub.stalls.clear();
    expect((await download(cacheDir)).files).to.have.length(4);
    expect(contentRequests().map(({ range }) => range)).to.deep.equal([null, 'bytes=50000-']);
  }));

  it('says when the disk is full and leaves nothing partial', () => withTempFolder(async (cacheDir) => {
    const openFile = async (file: string): Promise<FileHandle> => {
      const handle = await open(file, 'a');
      handle.appendFile = () => Promise.reject(Object.assign(new Error('no space left on device'), { code: 'ENOSPC' }));
      return handle;
    };
    const error = await rejection(download(cacheDir, { openFile }), FormatError);
    expect(error.exitCode).to.equal(5);
    expect(error.message).to.contain('disk is full');
    expect(await readdir(storage(cacheDir, 'blobs'))).to.deep.equal([]);
  }));

  it('prefers safetensors, takes every shard of an index, and refuses a repository without weights', () => withTempFolder(async (cacheDir) => {
    const repo = hub.repositories.get(REPO);
    if (repo === undefined) throw new Error('the repository is gone');
    const shard = new Uint8Array(1200).fill(1);
    repo.commits[commitOf('c')] = {
      'config.json': CONFIG, 'pytorch_model.bin': WEIGHTS, 'model.safetensors.index.json': new TextEncoder().encode('{}'),
      'model-00001-of-00002.safetensors': shard, 'model-00002-of-00002.safetensors': shard,
    };
    const sharded = await download(cacheDir, { revision: commitOf('c') });
    expect(sharded.files.map(({ name }) => name)).to.deep.equal(['config.json', 'model.safetensors.index.json', 'model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']);
    repo.commits[commitOf('e')] = { 'model.safetensors.index.json': CONFIG, 'model-00001-of-00002.safetensors': shard };
    expect((await rejection(download(cacheDir, { revision: commitOf('e') }), FormatError)).message).to.match(/1 shards, 2 expected/);
    repo.commits[commitOf('f')] = { 'config.json': CONFIG, 'tf_model.h5': shard };
    const none = await rejection(download(cacheDir, { revision: commitOf('f') }), FormatError);
    expect(none.message).to.equal('owner/tiny-opt has no model.safetensors or pytorch_model.bin; found tf_model.h5');
  }));

  it('uses a snapshot that another program left in the cache', () => withTempFolder(async (cacheDir) => {
    await download(cacheDir);
    await writeFile(storage(cacheDir, '.bispik', `${commitOf('a')}.json`), 'damaged');
    expect((await download(cacheDir, { offline: true })).files).to.have.length(4);
    await mkdir(storage(cacheDir, 'refs', 'pr'), { recursive: true });
    await writeFile(storage(cacheDir, 'refs', 'pr', '1'), commitOf('a'));
    expect((await download(cacheDir, { revision: 'pr/1', offline: true })).commit).to.equal(commitOf('a'));
  }));

  it('refuses names that are no repository, revision or hub before anything is asked or written', () => withTempFolder(async (cacheDir) => {
    for (const change of [{ repo: '../x' }, { repo: 'a/b/c' }, { repo: 'a/..' }, { revision: '../../x' }, { revision: '' }, { endpoint: 'huggingface.co' }, { endpoint: 'ftp://x' }]) {
      expect((await rejection(download(cacheDir, change), UsageError)).exitCode).to.equal(2);
    }
    expect([hub.requests, await readdir(cacheDir)]).to.deep.equal([[], []]);
  }));

  it('says when an answer is no Hub\'s', () => withTempFolder(async (cacheDir) => {
    const portal: typeof fetch = () => Promise.resolve(new Response('<html>log in</html>', { status: 200 }));
    expect((await rejection(download(cacheDir, { fetch: portal }), DownloadError)).message).to.match(/no Hub's answer/);
    const escape: typeof fetch = (input) => Promise.resolve(Response.json(String(input).includes('/tree/') ? [{ type: 'file', path: 'config.json', oid: '../../etc', size: 1 }] : { sha: commitOf('a') }));
    expect((await rejection(download(cacheDir, { fetch: escape }), DownloadError)).message).to.match(/with hash "\.\.\/\.\.\/etc"/);
  }));
});
