/**
 * Whole distillation steps of a 125M student on a GPU, at several numbers of time steps and batch after batch until memory runs out:
 *   npm run --silent bench:gpu -- [--time-steps 4,2] [--batches 8,1,2,4,16,32] [--recompute blocks,none] [--precision float32,mixed] [--set a.b=c] [--out FILE]
 *   npm run --silent bench:gpu -- --dry --batches 8        without a GPU: counts, and the least time on one of the given speeds
 * Teacher and student are random, tokens too. Prints one JSON document; `--out` keeps it up to date, so that a run that is cut off loses nothing.
 * docs/performance.md says what the keys mean.
 */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { extname } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { readGpuFlags } from './support/gpu-flags.js';
import { describeCommit, describeMachine } from './support/machine.js';

const flags = readGpuFlags();
const CHILD = fileURLToPath(new URL(`support/gpu-setting${extname(import.meta.url)}`, import.meta.url));
const end = Date.now() + 1000 * flags.limitS;

interface Setting { readonly preset: string; readonly timeSteps: number; readonly recompute: string; readonly precision: string }
interface BatchResult { readonly batch: number; readonly error?: string }
interface Student extends Setting { device: object | null; readonly batches: BatchResult[]; cutOff: boolean; failed: string | null }
const settings: Setting[] = flags.presets.flatMap((preset) => flags.recompute.flatMap((recompute) => flags.timeSteps.flatMap((timeSteps) =>
  (flags.dry ? ['float32'] : flags.precision).map((precision) => ({ preset, timeSteps, recompute, precision })))));
const document = {
  commit: process.env['BISPIK_COMMIT'] ?? describeCommit(), machine: describeMachine(), shape: flags.shape, context: flags.context, set: flags.set,
  limits: flags.dry ? flags.limits : null, students: [] as Student[],
};

function keep(): void {
  if (flags.out !== null) writeFileSync(flags.out, `${JSON.stringify(document, null, 2)}\n`);
}

/** Lets a process measure one student, and takes down line after line. @returns the batch that failed, or null. */
async function measure(student: Student, batches: readonly number[], deadline: number): Promise<number | null> {
  const { preset, timeSteps, recompute, precision } = student;
  const own = ['--presets', preset, '--time-steps', String(timeSteps), '--recompute', recompute, '--precision', precision, '--batches', batches.join(',')];
  const child = spawn(process.execPath, [...process.execArgv, CHILD, ...process.argv.slice(2), ...own], { stdio: ['ignore', 'pipe', 'inherit'] });
  const timer = setTimeout(() => {
    student.cutOff = true;
    child.kill('SIGKILL');
  }, Math.max(deadline - Date.now(), 0));
  const exit = new Promise<number | null>((resolve) => { child.once('close', resolve); });
  let isFirst = true;
  for await (const line of createInterface({ input: child.stdout })) {
    const found = JSON.parse(line) as object;
    if (isFirst) student.device ??= found;
    else student.batches.push(found as BatchResult);
    isFirst = false;
    keep();
  }
  const code = await exit;
  clearTimeout(timer);
  if (code !== 0 && !student.cutOff) student.failed = `the process ended with ${code}; its messages are on standard error`;
  keep();
  const last = student.batches.at(-1);
  return last?.error === undefined ? null : last.batch;
}

/** Batches in their order; after one that fails a new process goes on with those that are smaller. */
async function measureAll(setting: Setting, deadline: number): Promise<void> {
  const student: Student = { ...setting, device: null, batches: [], cutOff: false, failed: null };
  document.students.push(student);
  let batches = flags.batches;
  while (batches.length > 0 && Date.now() < deadline) {
    const failed = await measure(student, batches, deadline);
    const done = new Set(student.batches.map(({ batch }) => batch));
    batches = failed === null ? [] : batches.filter((batch) => batch < failed && !done.has(batch));
  }
}

// Every student gets an equal share of the time that is left.
for (const [i, setting] of settings.entries()) {
  if (Date.now() < end) await measureAll(setting, Date.now() + (end - Date.now()) / (settings.length - i));
}
process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
if (!document.students.some(({ batches }) => batches.length > 0)) process.exitCode = 1;
