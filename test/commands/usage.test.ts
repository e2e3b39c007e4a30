import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import { expect } from 'chai';

import type { Failure } from '../../src/cli/failure.js';
import { documentOf, expectCli } from '../support/run-cli.js';
import { withTempFolder } from '../support/temp-folder.js';

interface Case {
  readonly title: string;
  readonly args: readonly string[];
  readonly exit: number;
  readonly code: string;
  readonly message: RegExp;
  readonly suggestion: RegExp;
}

const CASES: readonly Case[] = [
  { title: 'an unknown flag', args: ['doctor', '--jsn'], exit: 2, code: 'USAGE', message: /--jsn/, suggestion: /Did you mean --json\?/ },
  { title: 'a misspelt flag of its own', args: ['eval', 'm', '--dtaa', 'x'], exit: 2, code: 'USAGE', message: /--dtaa/, suggestion: /Did you mean --data\?/ },
  { title: 'a missing argument', args: ['eval', '--data', 'x'], exit: 2, code: 'USAGE', message: /[Mm]issing 1 required arg/, suggestion: /bispik eval --help/ },
  { title: 'a missing flag', args: ['generate', 'm'], exit: 2, code: 'USAGE', message: /prompt/, suggestion: /bispik generate --help/ },
  { title: 'text where a number belongs', args: ['generate', 'm', '--prompt', 'a', '--temperature', 'warm'], exit: 2, code: 'USAGE', message: /--temperature: Expected a number but received: warm/, suggestion: /--help/ },
  { title: 'a fraction where a count belongs', args: ['generate', 'm', '--prompt', 'a', '--samples', '1.5'], exit: 2, code: 'USAGE', message: /--samples/, suggestion: /--help/ },
  { title: 'a count below its range', args: ['eval', 'm', '--data', 'x', '--stride', '0'], exit: 2, code: 'USAGE', message: /--stride/, suggestion: /--help/ },
  { title: 'an unknown backend', args: ['eval', 'm', '--data', 'x', '--backend', 'cuda'], exit: 2, code: 'USAGE', message: /--backend=cuda/, suggestion: /--help/ },
  { title: 'neither --config nor --resume', args: ['distill'], exit: 2, code: 'USAGE', message: /--config, --resume/, suggestion: /bispik distill --help/ },
  { title: 'both --config and --resume', args: ['distill', '--config', 'a.yaml', '--resume', 'r'], exit: 2, code: 'USAGE', message: /--resume/, suggestion: /--help/ },
  { title: '--set beside --resume', args: ['distill', '--resume', 'r', '--set', 'a=b'], exit: 2, code: 'USAGE', message: /--set/, suggestion: /--help/ },
  { title: '--expect-ppl without --data', args: ['import-teacher', 'a', '--out', 'b', '--expect-ppl', '3'], exit: 2, code: 'USAGE', message: /--data/, suggestion: /--help/ },
  { title: 'an unknown command', args: ['distil'], exit: 2, code: 'USAGE', message: /no command distil; there are distill, doctor/, suggestion: /^bispik distill$/ },
  { title: 'no configuration file', args: ['distill', '--config', 'none.yaml'], exit: 3, code: 'CONFIG', message: /No configuration file at \/.*none\.yaml/, suggestion: /configs/ },
  { title: 'a wrong type in the configuration', args: ['distill', '--config', 'bad.yaml'], exit: 3, code: 'CONFIG', message: /bad\.yaml:4: train\.steps must be a whole number from 1; found the text "many"/, suggestion: /Default: train\.steps: 1000/ },
  { title: 'an unknown key in --set', args: ['train-teacher', '--config', 'teacher.yaml', '--set', 'train.stesp=3'], exit: 3, code: 'CONFIG', message: /--set train\.stesp=3: unknown key train\.stesp; the nearest key is train\.steps/, suggestion: /Write train\.steps/ },
  { title: 'an empty corpus', args: ['train-teacher', '--config', 'teacher.yaml', '--set', 'corpus.kind=text', '--set', 'corpus.train=empty.txt'], exit: 5, code: 'FORMAT', message: /empty\.txt/, suggestion: /./ },
  { title: 'a corpus that is not UTF-8', args: ['train-teacher', '--config', 'teacher.yaml', '--set', 'corpus.kind=text', '--set', 'corpus.train=latin1.txt'], exit: 5, code: 'FORMAT', message: /latin1\.txt.* 3/, suggestion: /iconv/ },
  { title: '--set without a value', args: ['train-teacher', '--config', 'teacher.yaml', '--set', 'train.steps'], exit: 2, code: 'USAGE', message: /expected KEY=VALUE/, suggestion: /--set train\.steps=200/ },
];

const writeConfigs = async (folder: string): Promise<void> => {
  await writeFile(path.join(folder, 'bad.yaml'), 'run: r\nteacher: t\ncorpus: { kind: stories }\ntrain: { steps: many }\n');
  await writeFile(path.join(folder, 'teacher.yaml'), 'run: r\ncorpus: { kind: stories }\n');
  await writeFile(path.join(folder, 'empty.txt'), '');
  await writeFile(path.join(folder, 'latin1.txt'), Buffer.from('caf\u00e9 au lait', 'latin1'));
};

describe('command line: what is refused, with the same exit code in both modes', () => {
  for (const { title, args, exit, code, message, suggestion } of CASES) {
    it(title, () => withTempFolder(async (folder) => {
      await writeConfigs(folder);
      const [text, json] = await Promise.all([expectCli(exit, args, { folder }), expectCli(exit, [...args, '--json'], { folder })]);
      expect(text.stdout).to.equal('');
      expect(text.stderr).to.match(message).and.to.contain('Error (');
      expect(text.stderr.split('\n').some((line) => suggestion.test(line.replace(/^ {2}try {2}/, '')))).to.equal(true);
      const { error } = await documentOf<{ error: Failure }>(json);
      expect(error).to.include({ exit, code });
      expect(error.message).to.match(message);
      expect(error.suggestions.some((hint) => suggestion.test(hint))).to.equal(true);
      expect(error.message).not.to.contain('See more help');
      expect(json.stderr).to.equal('');
    }));
  }
});
