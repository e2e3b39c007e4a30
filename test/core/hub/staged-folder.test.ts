import { expect } from 'chai';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { FormatError, UsageError } from '../../../src/core/errors.js';
import { writeFolderAtomically } from '../../../src/core/hub/staged-folder.js';
import { rejection } from '../../support/rejection.js';

const KEEP = { overwrite: false, marker: 'config.json' };
const REPLACE = { overwrite: true, marker: 'config.json' };

describe('hub/staged-folder', () => {
  let root: string;
  let out: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'bispik-staged-'));
    out = join(root, 'deep', 'model');
  });
  afterEach(() => rm(root, { recursive: true }));

  const fill = (text: string) => (folder: string) => writeFile(join(folder, 'config.json'), text);
  const content = (): Promise<string> => readFile(join(out, 'config.json'), 'utf8');

  it('creates the folder and its parents, and hands out the result of fill', async () => {
    expect(await writeFolderAtomically(out, KEEP, async (folder) => { await fill('new')(folder); return 7; })).to.equal(7);
    expect(await content()).to.equal('new');
    expect(await readdir(join(root, 'deep'))).to.deep.equal(['model']);
  });

  it('leaves nothing when fill fails, and the old folder when there was one', async () => {
    const failure = new Error('check failed');
    const fail = async (folder: string): Promise<void> => { await fill('new')(folder); throw failure; };
    expect(await writeFolderAtomically(out, KEEP, fail).catch((error: unknown) => error)).to.equal(failure);
    expect(await readdir(join(root, 'deep'))).to.deep.equal([]);
    await writeFolderAtomically(out, KEEP, fill('old'));
    await writeFolderAtomically(out, REPLACE, fail).catch(() => undefined);
    expect(await content()).to.equal('old');
    expect(await readdir(join(root, 'deep'))).to.deep.equal(['model']);
  });

  it('replaces a folder of the same kind only when asked, and no other folder ever', async () => {
    await writeFolderAtomically(out, KEEP, fill('old'));
    const taken = await rejection(writeFolderAtomically(out, KEEP, fill('new')), UsageError);
    expect([taken.message, taken.suggestions.join()].join()).to.contain('is already there').and.to.contain('--force');
    expect(taken.exitCode).to.equal(2);
    await writeFolderAtomically(out, REPLACE, fill('new'));
    expect(await content()).to.equal('new');
    const other = join(root, 'other');
    await mkdir(other);
    await writeFile(join(other, 'diary.txt'), '');
    expect((await rejection(writeFolderAtomically(other, REPLACE, fill('x')), UsageError)).message).to.contain('holds other files');
    expect(await readdir(other)).to.deep.equal(['diary.txt']);
  });

  it('takes an empty folder and refuses a file', async () => {
    await mkdir(out, { recursive: true });
    await writeFolderAtomically(out, KEEP, fill('new'));
    const file = join(root, 'file');
    await writeFile(file, '');
    expect((await rejection(writeFolderAtomically(file, REPLACE, fill('x')), UsageError)).message).to.contain('is a file, not a folder');
  });

  it('explains a full disk', async () => {
    const full = (): Promise<never> => Promise.reject(Object.assign(new Error('write'), { code: 'ENOSPC' }));
    expect((await rejection(writeFolderAtomically(out, KEEP, full), FormatError)).message).to.equal(`cannot write ${out}: the disk is full (ENOSPC)`);
    expect(await readdir(join(root, 'deep'))).to.deep.equal([]);
  });
});
