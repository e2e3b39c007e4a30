import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

import { expect } from 'chai';

import { expectGolden } from '../support/golden.js';
import { expectCli } from '../support/run-cli.js';
import { withTempFolder } from '../support/temp-folder.js';

const COMMANDS = ['import-teacher', 'train-teacher', 'distill', 'eval', 'generate', 'serve', 'doctor'] as const;
const withoutVersion = (text: string): string => text.replaceAll(/bispik\/\S+ \S+ node-v\S+/g, 'bispik/VERSION PLATFORM NODE');

describe('golden: --help', () => {
  for (const command of [null, ...COMMANDS]) {
    it(command === null ? 'of the program' : `of ${command}`, () => withTempFolder(async (folder) => {
      const run = await expectCli(0, [...(command === null ? [] : [command]), '--help'], { folder });
      expect(run.stderr).to.equal('');
      await expectGolden(`help/${command ?? 'bispik'}.txt`, withoutVersion(run.stdout));
    }));
  }
});

describe('start-up', () => {
  it('loads no TensorFlow, no zod and no YAML to print help', () => withTempFolder(async (folder) => {
    const log = path.join(folder, 'loaded.txt');
    const preload = pathToFileURL(path.resolve(import.meta.dirname, '..', 'support', 'load-log.mjs')).href;
    await expectCli(0, ['--help'], { folder, env: { NODE_OPTIONS: `--import ${preload}`, BISPIK_LOAD_LOG: log } });
    const loaded = await readFile(log, 'utf8');
    expect(loaded).to.contain('@oclif/core');
    for (const heavy of ['@tensorflow', 'webgpu', '/zod/', '/yaml/', '@huggingface']) expect(loaded).not.to.contain(`node_modules/${heavy.replace(/^\//, '')}`);
  }));
});
