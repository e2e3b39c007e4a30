import { execFileSync } from 'node:child_process';
import { cpus, loadavg, totalmem } from 'node:os';

/** What a measurement was made on. */
export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly node: string;
  /** Mean number of runnable tasks in the last minute, before the measurement. */ readonly loadAverage: number;
}

export function describeMachine(): Machine {
  const cores = cpus();
  return { processor: cores[0]?.model.trim() ?? process.arch, cores: cores.length, memoryBytes: totalmem(), node: process.version, loadAverage: loadavg()[0] ?? 0 };
}

/** The commit that is checked out, marked where files differ from it; null outside a repository. */
export function describeCommit(): string | null {
  const git = (...args: string[]): string => execFileSync('git', args, { cwd: import.meta.dirname, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  try {
    return git('rev-parse', 'HEAD') + (git('status', '--porcelain') === '' ? '' : ' with changes');
  } catch {
    return null;
  }
}
