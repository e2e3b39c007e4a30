// Installs the dependencies when they are missing or older than package-lock.json; says nothing when there is nothing to do.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

const root = path.dirname(import.meta.dirname);

/** Packages as a lock file lists them, without the entry of the project itself. */
function lockedPackages(file) {
  if (!existsSync(file)) return null;
  const packages = JSON.parse(readFileSync(file, 'utf8')).packages ?? {};
  return new Map(Object.entries(packages).filter(([folder]) => folder !== ''));
}

/** True when every package of the lock is there in the locked version; packages made for other platforms may be absent. */
function isInstalled() {
  const wanted = lockedPackages(path.join(root, 'package-lock.json'));
  const present = lockedPackages(path.join(root, 'node_modules', '.package-lock.json'));
  if (wanted === null || present === null) return false;
  return [...wanted].every(([folder, { version, optional, devOptional, link }]) => {
    const found = present.get(folder);
    if (found === undefined) return Boolean(optional || devOptional || link);
    return found.version === version;
  });
}

if (!isInstalled()) {
  process.stderr.write('Installing dependencies (npm ci) ...\n');
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error'];
  const npm = process.env.npm_execpath;
  const [program, ...rest] = npm === undefined ? ['npm', ...args] : [process.execPath, npm, ...args];
  const { status, error } = spawnSync(program, rest, { cwd: root, stdio: ['ignore', process.stderr, process.stderr] });
  if (status !== 0) {
    process.stderr.write(`npm ci failed${error ? `: ${error.message}` : ''}. Check the network and try: npm ci\n`);
    process.exit(status ?? 1);
  }
}
