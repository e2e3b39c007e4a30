import { Errors } from '@oclif/core';
import { expect } from 'chai';

import { failureOf } from '../../src/cli/failure.js';
import {
  BackendError, ConfigError, DownloadError, ExpectationError, FormatError, Interrupted, NothingLearnedError, NumericError, ShapeError, UsageError,
} from '../../src/core/errors.js';

const LINE = { command: 'bispik eval', flags: ['--data', '--stride', '--json'] };

describe('failure of a command', () => {
  const OURS = [
    [new UsageError('m'), 2], [new ConfigError('m'), 3], [new FormatError('m'), 5], [new ShapeError('m'), 5], [new BackendError('m'), 6],
    [new NumericError('m'), 7], [new ExpectationError('m'), 8], [new NothingLearnedError('m'), 9], [new Interrupted('m'), 130],
  ] as const;
  for (const [error, exit] of OURS) {
    it(`${error.name} exits ${exit}, in text as with --json`, () => {
      expect(failureOf(error, LINE)).to.deep.equal({ name: error.name, code: error.code, exit, message: 'm', suggestions: [] });
      expect([error.exitCode, error.oclif.exit]).to.deep.equal([exit, exit]);
    });
  }

  it('a download keeps its status and address', () => {
    const error = new DownloadError('gone', { status: 404, url: 'https://hub/x', suggestions: ['check the name'] });
    expect(failureOf(error, LINE)).to.deep.equal({
      name: 'DownloadError', code: 'DOWNLOAD', exit: 4, message: 'gone', suggestions: ['check the name'], status: 404, url: 'https://hub/x',
    });
  });

  it('an unexpected error exits 1 and asks for a report', () => {
    const failure = failureOf(new TypeError('x is not a function'), LINE);
    expect(failure).to.include({ code: 'UNEXPECTED', exit: 1, message: 'x is not a function' });
    expect(failure.suggestions.join(' ')).to.contain('report').and.to.contain('DEBUG=1 bispik eval');
    expect(failureOf('a string', LINE)).to.include({ exit: 1, message: 'a string' });
  });

  it('an aborted wait is an interruption', () => {
    expect(failureOf(new DOMException('This operation was aborted', 'AbortError'), LINE)).to.include({ code: 'INTERRUPTED', exit: 130 });
  });

  it('a parser error exits 2, names the near flag and where help is', () => {
    const error = Object.assign(new Errors.CLIError('Nonexistent flag: --strid\nSee more help with --help'), { flags: ['--strid'] });
    expect(failureOf(error, LINE)).to.deep.equal({
      name: 'UsageError', code: 'USAGE', exit: 2, message: 'Nonexistent flag: --strid', suggestions: ['Did you mean --stride?', 'bispik eval --help'],
    });
    const far = Object.assign(new Errors.CLIError('Nonexistent flag: --zzzzzz'), { flags: ['--zzzzzz'] });
    expect(failureOf(far, LINE).suggestions).to.deep.equal(['bispik eval --help']);
  });

  it('a refused flag value exits 2 whatever class its parser threw', () => {
    const error = new TypeError('Parsing --temperature \n\tExpected a number but received: x\nSee more help with --help');
    expect(failureOf(error, LINE)).to.include({ exit: 2, message: '--temperature: Expected a number but received: x' });
  });
});
