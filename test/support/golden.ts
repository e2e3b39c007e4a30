import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { expect } from 'chai';

const FOLDER = path.resolve(import.meta.dirname, '..', 'golden');

/** Compares with test/golden/NAME; `npm run golden:update` rewrites the file instead. */
export async function expectGolden(name: string, actual: string): Promise<void> {
  const file = path.join(FOLDER, name);
  if (process.env['BISPIK_UPDATE_GOLDEN'] === '1') {
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, actual);
    return;
  }
  expect(actual, `test/golden/${name}: npm run golden:update, and say why`).to.equal(await readFile(file, 'utf8'));
}
