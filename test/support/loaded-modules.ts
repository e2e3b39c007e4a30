import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

import { withTempFolder } from './temp-folder.js';

/** URLs of everything a fresh process loads, one a line, when it imports these files of `src/`. */
export function loadedModules(files: readonly string[]): Promise<string> {
  const root = path.resolve(import.meta.dirname, '..', '..');
  const urlOf = (...parts: string[]): string => pathToFileURL(path.join(root, ...parts)).href;
  return withTempFolder(async (folder) => {
    const log = path.join(folder, 'loaded.txt');
    const program = files.map((file) => `await import(${JSON.stringify(urlOf('src', file))});`).join('');
    const flags = ['--import', 'tsx', '--import', urlOf('test', 'support', 'load-log.mjs'), '--input-type=module', '-e', program];
    await promisify(execFile)(process.execPath, flags, { cwd: root, env: { ...process.env, BISPIK_LOAD_LOG: log } });
    return await readFile(log, 'utf8');
  });
}
