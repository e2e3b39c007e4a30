import { Command } from '@oclif/core';

import { BispikError } from '../core/errors.js';
import type { RunContext } from '../core/types.js';
import { readEnvironment } from './environment.js';
import type { Failure } from './failure.js';
import { failureOf } from './failure.js';
import { listenForInterrupts } from './interrupts.js';
import { createProgressBars } from './progress-bars.js';
import { renderFailure } from './render.js';

/** A dependency that chats must not write into the result; returns what ends this. */
function sendChatterToStderr(): () => void {
  const { log, info } = console;
  console.log = console.info = (...words: unknown[]) => { console.error(...words); };
  return () => Object.assign(console, { log, info });
}

/** What every command shares: `--json`, failures with their exit code in both modes, Ctrl-C, progress on stderr. */
export abstract class BaseCommand extends Command {
  static override enableJsonFlag = true;

  protected readonly environment = readEnvironment();

  /** The result, also as the one document of `--json`. */
  abstract override run(): Promise<object>;

  /** Runs core work with progress on stderr and a signal that Ctrl-C raises. */
  protected async work<Result>(call: (ctx: RunContext) => Promise<Result>): Promise<Result> {
    const bars = createProgressBars(process.stderr);
    const interrupts = listenForInterrupts(() => bars.notice('Stopping at the next safe point. Ctrl-C again stops at once.'));
    const restore = sendChatterToStderr();
    try {
      return await call({ reporter: bars, signal: interrupts.signal });
    } finally {
      restore();
      bars.stop();
      interrupts.release();
    }
  }

  /** An exit code beside a result: that of Ctrl-C for a partial one, that of a missed expectation for a gate. */
  protected endWith(code: 130 | 8): void {
    process.exitCode = code;
  }

  /** Left alone, oclif's parser errors exit 1 with `--json` and 2 without; here every failure has one exit code. */
  protected override async catch(error: unknown): Promise<void> {
    this.parsed = true;
    const failure = failureOf(error, { command: `${this.config.bin} ${this.id ?? ''}`.trim(), flags: this.knownFlags() });
    process.exitCode = failure.exit;
    if (this.jsonEnabled()) this.logJson({ error: failure });
    else process.stderr.write(`${this.failureText(failure, error)}\n`);
  }

  private failureText(failure: Failure, error: unknown): string {
    const showStack = this.environment.isDebug && error instanceof Error && !(error instanceof BispikError);
    return renderFailure(failure, {
      hasColour: process.stderr.isTTY && this.environment.allowsColour,
      stack: showStack ? (error.stack ?? null) : null,
    });
  }

  private knownFlags(): string[] {
    return [...Object.keys(this.ctor.flags ?? {}), ...Object.keys(this.ctor.baseFlags ?? {}), 'json', 'help'].map((name) => `--${name}`);
  }
}
