import { readFile } from 'node:fs/promises';
import path from 'node:path';

import type { Command } from '@oclif/core';
import { Flags, Parser } from '@oclif/core';
import { expect } from 'chai';

import Distill from '../../src/commands/distill.js';
import Doctor from '../../src/commands/doctor.js';
import Eval from '../../src/commands/eval.js';
import Generate from '../../src/commands/generate.js';
import ImportTeacher from '../../src/commands/import-teacher.js';
import Serve from '../../src/commands/serve.js';
import TrainTeacher from '../../src/commands/train-teacher.js';
import { loadDistillConfig, loadTeacherConfig } from '../../src/core/config/load.js';
import { packageRoot } from '../../src/core/config/shipped.js';

type CommandClass = Pick<typeof Command, 'args' | 'flags' | 'examples' | 'summary' | 'description'>;

const COMMANDS: Readonly<Record<string, CommandClass>> = {
  distill: Distill, doctor: Doctor, eval: Eval, generate: Generate, 'import-teacher': ImportTeacher, serve: Serve, 'train-teacher': TrainTeacher,
};

/** Splits a shell line of plain words and double-quoted texts. */
const wordsOf = (line: string): string[] =>
  [...line.replace(/\s+#.*$/, '').matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? (plain as string));

/** Parses a line as its command would; a configuration it names must exist and accept its overrides. */
async function check(line: string): Promise<void> {
  const [program, name = '', ...argv] = wordsOf(line);
  expect(program).to.equal('bispik');
  const command = COMMANDS[name];
  if (command === undefined) throw new Error(`no command ${name}`);
  const parsed = await Parser.parse(argv, { args: command.args, flags: { ...command.flags, json: Flags.boolean() }, strict: true });
  const flags = parsed.flags as { readonly config?: string; readonly set?: readonly string[] };
  if (flags.config === undefined) return;
  const load = name === 'distill' ? loadDistillConfig : loadTeacherConfig;
  await load({ file: path.join(packageRoot(), flags.config), overrides: flags.set ?? [] });
}

describe('examples', () => {
  for (const [name, command] of Object.entries(COMMANDS)) {
    it(`of ${name} --help: at least two, all accepted`, async () => {
      const examples = (command.examples ?? []).map(String);
      expect(examples.length).to.be.at.least(2);
      expect(command.summary).to.be.a('string');
      expect(command.description).to.be.a('string');
      for (const example of examples) await check(example.replace('<%= config.bin %>', 'bispik'));
    });
  }

  it('of the README are all accepted, and its first screen has the two commands', async () => {
    const readme = await readFile(path.join(packageRoot(), 'README.md'), 'utf8');
    const first = readme.split('\n').slice(0, 24).join('\n');
    expect(first).to.contain('npm run quickstart').and.to.contain('npm test');
    const blocks = [...readme.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block]) => block as string);
    const lines = blocks.flatMap((block) => block.split('\n')).map((line) => line.replace('node bin/run.js', 'bispik')).filter((line) => line.startsWith('bispik '));
    expect(lines.length).to.be.at.least(Object.keys(COMMANDS).length);
    for (const line of lines) await check(line);
    for (const name of Object.keys(COMMANDS)) expect(lines.some((line) => line.startsWith(`bispik ${name}`)), name).to.equal(true);
  });

  it('of the README name npm scripts that exist', async () => {
    const [readme, manifest] = await Promise.all(['README.md', 'package.json'].map((file) => readFile(path.join(packageRoot(), file), 'utf8')));
    const { scripts } = JSON.parse(manifest as string) as { scripts: Record<string, string> };
    for (const [, script] of (readme as string).matchAll(/npm run (?:--silent )?([a-z:]+)/g)) expect(scripts).to.have.property(script as string);
  });
});
