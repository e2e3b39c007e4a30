import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect } from 'chai';

import { loadEnergyConstants } from '../../../src/core/energy/constants.js';
import { ConfigError } from '../../../src/core/errors.js';

describe('energy constants', () => {
  let folder: string;
  before(async () => { folder = await mkdtemp(join(tmpdir(), 'bispik-energy-')); });
  after(() => rm(folder, { recursive: true }));

  async function failureOf(yaml: string | null): Promise<unknown> {
    const path = join(folder, 'constants.yaml');
    await rm(path, { force: true });
    if (yaml !== null) await writeFile(path, yaml);
    return loadEnergyConstants(path).then(() => undefined, (error: unknown) => error);
  }

  it('ships the 45 nm values', async () => {
    expect(await loadEnergyConstants()).to.deep.equal({ name: 'horowitz-45nm', macPj: 4.6, acPj: 0.9 });
  });

  const bad: readonly [string, string | null, string][] = [
    ['a missing file', null, 'ENOENT'],
    ['broken YAML', 'name: [', 'cannot be read as YAML'],
    ['a wrong type', 'name: x\nmacPj: much\nacPj: 0.9', 'macPj'],
    ['a cost of zero', 'name: x\nmacPj: 4.6\nacPj: 0', 'acPj'],
    ['an unknown key', 'name: x\nmacPj: 4.6\nacPj: 0.9\nmacNj: 1', 'macNj'],
    ['an empty document', '', 'the document'],
  ];
  for (const [title, yaml, part] of bad) {
    it(`refuses ${title}`, async () => {
      const error = await failureOf(yaml);
      expect(error).to.be.instanceOf(ConfigError);
      expect((error as ConfigError).exitCode).to.equal(3);
      expect((error as ConfigError).message).to.contain(part).and.to.contain('constants.yaml');
    });
  }
});
