/**
 * The errors a user can meet, each with a fixed exit code. A message says what was found, what was expected and where
 * (file, key or tensor); a suggestion is something to type or change.
 */

export interface BispikErrorOptions {
  readonly suggestions?: readonly string[];
  readonly cause?: unknown;
}

/** Base of every error that is not a bug of ours. `exitCode` and `oclif.exit` always agree. */
export class BispikError extends Error {
  readonly code: string;
  readonly exitCode: number;
  readonly oclif: { readonly exit: number };
  readonly suggestions: readonly string[];

  constructor(identity: { code: string; exitCode: number }, message: string, options: BispikErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = identity.code;
    this.exitCode = identity.exitCode;
    this.oclif = { exit: identity.exitCode };
    this.suggestions = options.suggestions ?? [];
  }
}

/** A flag or an argument is wrong (exit 2). */
export class UsageError extends BispikError {
  constructor(message: string, options?: BispikErrorOptions) {
    super({ code: 'USAGE', exitCode: 2 }, message, options);
  }
}

/** A configuration key is unknown, of the wrong type or out of range (exit 3). */
export class ConfigError extends BispikError {
  constructor(message: string, options?: BispikErrorOptions) {
    super({ code: 'CONFIG', exitCode: 3 }, message, options);
  }
}

/** The network, the hub or a hash check failed (exit 4). */
export class DownloadError extends BispikError {
  readonly status: number | null;
  readonly url: string;

  constructor(message: string, options: BispikErrorOptions & { readonly status?: number | null; readonly url: string }) {
    super({ code: 'DOWNLOAD', exitCode: 4 }, message, options);
    this.status = options.status ?? null;
    this.url = options.url;
  }
}

/** A file is corrupt, of an unknown format, or cannot be read or written (exit 5). */
export class FormatError extends BispikError {
  constructor(message: string, options?: BispikErrorOptions) {
    super({ code: 'FORMAT', exitCode: 5 }, message, options);
  }
}

/** Two shapes that must agree do not (exit 5). */
export class ShapeError extends BispikError {
  constructor(message: string, options?: BispikErrorOptions) {
    super({ code: 'SHAPE', exitCode: 5 }, message, options);
  }
}

/** A compute backend is missing, failed to start or ran out of memory (exit 6). */
export class BackendError extends BispikError {
  constructor(message: string, options?: BispikErrorOptions) {
    super({ code: 'BACKEND', exitCode: 6 }, message, options);
  }
}

/** A loss, a gradient or a weight is NaN or infinite (exit 7). */
export class NumericError extends BispikError {
  constructor(message: string, options?: BispikErrorOptions) {
    super({ code: 'NUMERIC', exitCode: 7 }, message, options);
  }
}

/** A measured value missed what the user demanded, e.g. `--expect-ppl` (exit 8). */
export class ExpectationError extends BispikError {
  constructor(message: string, options?: BispikErrorOptions) {
    super({ code: 'EXPECTATION', exitCode: 8 }, message, options);
  }
}

/** A training run finished without beating the unigram loss (exit 9); its files are kept. */
export class NothingLearnedError extends BispikError {
  constructor(message: string, options?: BispikErrorOptions) {
    super({ code: 'NOTHING_LEARNED', exitCode: 9 }, message, options);
  }
}

/** Ctrl-C or an aborted signal (exit 130); says how to resume. */
export class Interrupted extends BispikError {
  constructor(message: string, options?: BispikErrorOptions) {
    super({ code: 'INTERRUPTED', exitCode: 130 }, message, options);
  }
}
