import { spawnSync } from 'node:child_process';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { expect } from 'chai';

import { packageRoot } from '../../src/core/config/shipped.js';
import { withTempFolder } from '../support/temp-folder.js';

type Packages = Readonly<Record<string, { readonly version?: string; readonly optional?: boolean }>>;

const LOCK: Packages = { '': {}, 'node_modules/a': { version: '1.0.0' }, 'node_modules/gpu': { version: '2.0.0', optional: true } };

/** Runs the script in a project with this lock and these installed packages; returns the arguments npm was called with, if it was. */
const installCalls = (present: Packages | null, npmStatus = 0) => withTempFolder(async (folder) => {
  await mkdir(path.join(folder, 'scripts'));
  await mkdir(path.join(folder, 'node_modules'));
  await copyFile(path.join(packageRoot(), 'scripts', 'ensure-installed.mjs'), path.join(folder, 'scripts', 'ensure-installed.mjs'));
  await writeFile(path.join(folder, 'package-lock.json'), JSON.stringify({ packages: LOCK }));
  if (present !== null) await writeFile(path.join(folder, 'node_modules', '.package-lock.json'), JSON.stringify({ packages: present }));
  const npm = path.join(folder, 'npm.cjs');
  await writeFile(npm, `require('fs').writeFileSync(${JSON.stringify(path.join(folder, 'calls'))}, process.argv.slice(2).join(' ')); process.exit(${npmStatus});`);
  const run = spawnSync(process.execPath, [path.join(folder, 'scripts', 'ensure-installed.mjs')], { encoding: 'utf8', env: { ...process.env, npm_execpath: npm } });
  return { calls: await readFile(path.join(folder, 'calls'), 'utf8').catch(() => null), status: run.status, stdout: run.stdout, stderr: run.stderr };
});

describe('scripts/ensure-installed.mjs', () => {
  it('does and says nothing when all locked versions are there', async () => {
    for (const present of [LOCK, { 'node_modules/a': { version: '1.0.0' } }]) {
      expect(await installCalls(present)).to.deep.equal({ calls: null, status: 0, stdout: '', stderr: '' });
    }
  });

  it('installs when nothing is there, a package is missing, or a version is stale', async () => {
    for (const present of [null, {}, { 'node_modules/a': { version: '0.9.0' } }, { ...LOCK, 'node_modules/gpu': { version: '1.0.0', optional: true } }]) {
      const { calls, status } = await installCalls(present);
      expect(calls).to.match(/^ci /);
      expect(status).to.equal(0);
    }
  });

  it('fails as npm fails, and says what to try', async () => {
    const { status, stderr } = await installCalls(null, 3);
    expect(status).to.equal(3);
    expect(stderr).to.contain('npm ci failed').and.to.contain('try: npm ci');
  });
});
