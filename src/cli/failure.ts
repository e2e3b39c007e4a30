import { Errors } from '@oclif/core';

import { editDistance, nearestOf } from '../core/config/nearest.js';
import { BispikError, DownloadError } from '../core/errors.js';

/** An error as `--json` prints it; every command's failure has this shape. */
export interface Failure {
  readonly name: string;
  readonly code: string;
  readonly exit: number;
  readonly message: string;
  readonly suggestions: readonly string[];
  /** Only of downloads. */ readonly status?: number | null;
  /** Only of downloads. */ readonly url?: string;
}

/** What is needed to make a parser error helpful. */
export interface CommandLine {
  /** E.g. `bispik eval`. */ readonly command: string;
  /** Flags the command knows, with dashes. */ readonly flags: readonly string[];
}

/** A flag's value that its parser refused; oclif adds the flag's name to the message and leaves the class as it was. */
const isFlagValue = (error: unknown): error is Error => error instanceof Error && error.message.startsWith('Parsing --');

const isAbort = (error: unknown): boolean => error instanceof Error && error.name === 'AbortError';

/** Puts any thrown value into words, with its exit code. Errors of ours keep theirs; parser errors are usage errors; the rest are bugs. */
export function failureOf(error: unknown, line: CommandLine): Failure {
  if (error instanceof BispikError) {
    const { name, code, exitCode: exit, message, suggestions } = error;
    const download = error instanceof DownloadError ? { status: error.status, url: error.url } : {};
    return { name, code, exit, message, suggestions, ...download };
  }
  if (isAbort(error)) return { name: 'Interrupted', code: 'INTERRUPTED', exit: 130, message: 'Interrupted', suggestions: [] };
  if (error instanceof Errors.CLIError || isFlagValue(error)) return usageFailure(error, line);
  const message = error instanceof Error ? error.message || error.name : String(error);
  return {
    name: 'UnexpectedError', code: 'UNEXPECTED', exit: 1, message,
    suggestions: [`This is a mistake in bispik: please report it with the command line`, `For the stack: DEBUG=1 ${line.command} ...`],
  };
}

/** The most similar word, if it is similar enough to be meant. */
export function similarTo(typed: string, known: readonly string[]): string[] {
  const nearest = nearestOf(typed, known);
  return nearest !== null && editDistance(typed, nearest) <= Math.max(2, typed.length / 3) ? [nearest] : [];
}

function usageFailure(error: Error, line: CommandLine): Failure {
  const message = error.message.replace(/\n?See more help with --help\s*$/, '').replace(/^Parsing (--\S+) \n\t/, '$1: ').trimEnd();
  const unknown = (error as { readonly flags?: unknown }).flags;
  const nearest = Array.isArray(unknown) ? unknown.flatMap((flag) => similarTo(String(flag), line.flags)) : [];
  return {
    name: 'UsageError', code: 'USAGE', exit: 2, message,
    suggestions: [...nearest.map((flag) => `Did you mean ${flag}?`), `${line.command} --help`],
  };
}
