/**
 * Runs the engine's benchmark over a list of settings and writes what it prints to bench/baselines/<date>-<machine>/, with a README.md:
 *   npm run --silent bench:engine:baselines -- --machine NAME [--only 125m-t2] [--models FOLDER] [-- further flags of bench:engine]
 * A file that is already there is kept, so that a run can be taken up again; every file names its own commit.
 */
import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';

import { renderBaselines } from './support/baseline-readme.js';
import type { EngineDocument } from './support/engine-document.js';
import { describeMachine } from './support/machine.js';

/** What is measured, each with all peers that are there: every shape once or twice, the 125M one over rates and precisions. */
const RUNS: readonly string[] = [
  '125m-t2-r0.10-int8', '125m-t4-r0.15-int8', '125m-t2-r0.10-int4', '125m-t4-r0.15-int4',
  '125m-t2-r0.05-int8', '125m-t2-r0.15-int8', '125m-t2-r0.28-int8', '125m-t4-r0.05-int8', '125m-t4-r0.10-int8', '125m-t4-r0.28-int8',
  '125m-t2-r0.10-float32', '15m-t2-r0.10-int8', '15m-t4-r0.15-int8', '350m-t2-r0.10-int8', '350m-t4-r0.15-int8', '1.3b-t2-r0.10-int8',
];

const { values: flags, positionals } = parseArgs({
  options: { machine: { type: 'string' }, only: { type: 'string', default: '' }, models: { type: 'string' }, date: { type: 'string' } },
  allowPositionals: true,
});

const slug = (text: string): string => text.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '');
const machine = describeMachine();
const name = slug(flags.machine ?? `${machine.processor}-${machine.cores}-cores`);
const folder = join(import.meta.dirname, 'baselines', `${flags.date ?? new Date().toISOString().slice(0, 10)}-${name}`);
const SCRIPT = join(import.meta.dirname, 'engine.bench.ts');

/** Flags of one run from its name. */
function flagsOf(run: string): string[] {
  const match = /^(?<shape>[^-]+)-t(?<timeSteps>\d+)-r(?<rate>[\d.]+)-(?<precision>\w+)$/.exec(run);
  const { shape = '', timeSteps = '', rate = '', precision = '' } = match?.groups ?? {};
  const model = flags.models === undefined ? [] : ['--model', join(flags.models, `${shape}-t${timeSteps}-r${rate}`)];
  return ['--shape', shape, '--time-steps', timeSteps, '--rate', rate, '--precision', precision, ...model, ...positionals];
}

await mkdir(folder, { recursive: true });
const present = new Set(await readdir(folder));
for (const run of RUNS.filter((candidate) => candidate.startsWith(flags.only) && !present.has(`${candidate}.json`))) {
  process.stderr.write(`${run}\n`);
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', SCRIPT, '--json', ...flagsOf(run)], { maxBuffer: 2 ** 24 });
  await writeFile(join(folder, `${run}.json`), stdout);
}

const documents: { file: string; document: EngineDocument }[] = [];
for (const file of (await readdir(folder)).filter((entry) => entry.endsWith('.json')).sort()) {
  documents.push({ file, document: JSON.parse(await readFile(join(folder, file), 'utf8')) as EngineDocument });
}
if (documents.length === 0) await rm(folder, { recursive: true });
else await writeFile(join(folder, 'README.md'), renderBaselines(documents));
