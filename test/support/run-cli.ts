import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import path from 'node:path';

import { AssertionError } from 'chai';

const ROOT = path.resolve(import.meta.dirname, '..', '..');
/** The built program; `BISPIK_TEST_BIN=bin/dev.js` runs the sources instead. */
const BIN = path.join(ROOT, process.env['BISPIK_TEST_BIN'] ?? 'bin/run.js');

export interface CliOptions {
  /** Current directory of the program, also its HOME. */ readonly folder: string;
  /** Added to an otherwise nearly empty environment. */ readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  /** Called once, when stderr first contains the text. */ readonly onStderr?: { readonly text: string; readonly act: (pid: number, stderr: string) => void };
}

/** What one run of the program did. */
export interface CliRun {
  readonly args: readonly string[];
  readonly folder: string;
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the real program in a folder, with no colour, 80 columns and nothing of our environment but PATH. */
export async function runCli(args: readonly string[], options: CliOptions): Promise<CliRun> {
  if (BIN.endsWith('run.js') && !existsSync(path.join(ROOT, 'dist', 'src', 'commands'))) throw new Error('dist/ is missing: npm run build');
  const { folder, timeoutMs = 60_000, onStderr } = options;
  const home = path.join(folder, 'home');
  await mkdir(home, { recursive: true });
  const env = { PATH: process.env['PATH'] ?? '', HOME: home, OCLIF_COLUMNS: '80', NO_COLOR: '1', ...options.env };
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [BIN, ...args], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'], timeout: timeoutMs, killSignal: 'SIGKILL' });
    let [stdout, stderr] = ['', ''];
    let isWaiting = onStderr !== undefined;
    child.stdout.setEncoding('utf8').on('data', (piece: string) => { stdout += piece; });
    child.stderr.setEncoding('utf8').on('data', (piece: string) => {
      stderr += piece;
      if (!isWaiting || onStderr === undefined || !stderr.includes(onStderr.text)) return;
      isWaiting = false;
      onStderr.act(child.pid as number, stderr);
    });
    child.on('error', reject);
    child.on('close', (status, signal) => resolve({ args, folder, status, signal, stdout, stderr }));
  });
}

/** Everything needed to see why a run was not as expected. */
export async function reportOf(run: CliRun): Promise<string> {
  const listing = (await readdir(run.folder, { recursive: true })).sort().slice(0, 60).join('\n    ');
  return [
    `command: bispik ${run.args.map((arg) => JSON.stringify(arg)).join(' ')}`, `cwd: ${run.folder}`, `files:\n    ${listing}`,
    `status: ${run.status}${run.signal === null ? '' : ` (${run.signal})`}`, `stdout:\n${run.stdout}`, `stderr:\n${run.stderr}`,
  ].join('\n');
}

/** Runs the program and fails with a full report unless it exits as expected. */
export async function expectCli(status: number, args: readonly string[], options: CliOptions): Promise<CliRun> {
  const run = await runCli(args, options);
  if (run.status !== status) throw new AssertionError(`expected exit status ${status}\n${await reportOf(run)}`);
  return run;
}

/** The one document a `--json` run printed; fails with a full report when stdout holds anything else. */
export async function documentOf<Document = Record<string, unknown>>(run: CliRun): Promise<Document> {
  try {
    return JSON.parse(run.stdout) as Document;
  } catch {
    throw new AssertionError(`stdout is not one JSON document\n${await reportOf(run)}`);
  }
}
