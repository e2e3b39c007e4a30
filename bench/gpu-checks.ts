/**
 * Runs the tests of the WebGPU backend, one process for each file and several at a time, and counts: for a machine that has the compiled tests and no
 * developer's tools.
 *   node dist/bench/gpu-checks.js --out checks.json [--limit-s 150] [--only PART-OF-A-PATH] [--jobs 4]
 * The document is written anew after each file. Fails when a test fails, or when none passed.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/** Where tests are that compare kernels and what is made of them with references, by the start of their paths. */
const SUITES = [
  'contracts/', 'core/ops/', 'core/backend/webgpu-kernels/', 'core/backend/profile/', 'core/distill/', 'core/student/', 'core/teacher/',
  'core/train/step', 'core/train/cut-step', 'core/train/optimizer', 'core/train/gradient-norm', 'bench/unfused', 'bench/attention-traffic',
];
const ON_WEBGPU = /describeOn(Backends|OurKernels|WebGpu)\(/;

const { values: flags } = parseArgs({
  options: {
    out: { type: 'string' }, 'limit-s': { type: 'string', default: '150' }, only: { type: 'string', default: '' }, jobs: { type: 'string', default: String(Math.min(4, availableParallelism())) },
  },
});
const root = fileURLToPath(new URL('../test', import.meta.url));
const suffix = `.test${extname(import.meta.url)}`;
const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).sort().filter((file) =>
  file.endsWith(suffix) && SUITES.some((start) => file.startsWith(start)) && file.includes(flags.only) && ON_WEBGPU.test(readFileSync(join(root, file), 'utf8')));
const mocha = join(dirname(createRequire(import.meta.url).resolve('mocha/package.json')), 'bin/mocha.js');
const end = Date.now() + 1000 * Number(flags['limit-s']);

/** The parts of mocha's JSON report that are kept. */
interface MochaReport {
  readonly stats: { readonly passes: number; readonly pending: number; readonly failures: number };
  readonly failures: readonly { readonly fullTitle: string; readonly err: { readonly message?: string } }[];
}
type Outcome = { readonly file: string } & ({ readonly passes: number; readonly pending: number; readonly failures: readonly { readonly test: string; readonly message: string }[] } | { readonly notRun: string });
const outcomes: Outcome[] = [];

/** Runs one file until the time is over. */
async function runFile(file: string): Promise<Outcome> {
  const left = end - Date.now();
  if (left <= 0) return { file, notRun: 'no time was left' };
  const folder = mkdtempSync(join(tmpdir(), 'checks-'));
  const report = join(folder, 'report.json');
  const args = [...process.execArgv, mocha, '--no-config', '--exit', '--timeout', '20000', '--grep', '\\[webgpu\\]', '--reporter', 'json', '--reporter-option', `output=${report}`, join(root, file)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const timer = setTimeout(() => child.kill('SIGKILL'), left);
  await new Promise((resolve) => { child.once('close', resolve); });
  clearTimeout(timer);
  try {
    const { stats, failures } = JSON.parse(readFileSync(report, 'utf8')) as MochaReport;
    return { file, passes: stats.passes, pending: stats.pending, failures: failures.map(({ fullTitle, err }) => ({ test: fullTitle, message: (err.message ?? '').slice(0, 500) })) };
  } catch {
    return { file, notRun: Date.now() >= end ? 'the time was over' : 'the process ended without a report; its messages are on standard error' };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function describe(): { passes: number; pending: number; failures: number; notRun: number; files: readonly Outcome[] } {
  const ran = outcomes.flatMap((outcome) => ('passes' in outcome ? [outcome] : []));
  const sum = (count: (outcome: (typeof ran)[number]) => number): number => ran.reduce((total, outcome) => total + count(outcome), 0);
  return {
    passes: sum(({ passes }) => passes), pending: sum(({ pending }) => pending), failures: sum(({ failures }) => failures.length),
    notRun: files.length - ran.length, files: [...outcomes].sort((a, b) => (a.file < b.file ? -1 : 1)),
  };
}

const queue = [...files];
await Promise.all(Array.from({ length: Number(flags.jobs) }, async () => {
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
    outcomes.push(await runFile(file));
    if (flags.out !== undefined) writeFileSync(flags.out, `${JSON.stringify(describe(), null, 2)}\n`);
  }
}));
const { files: _all, ...counts } = describe();
process.stdout.write(`${JSON.stringify(counts)}\n`);
for (const outcome of outcomes) {
  if ('notRun' in outcome) process.stdout.write(`${outcome.file}: ${outcome.notRun}\n`);
  else for (const { test, message } of outcome.failures) process.stdout.write(`${test}: ${message}\n`);
}
if (counts.passes === 0 || counts.failures > 0) process.exitCode = 1;
