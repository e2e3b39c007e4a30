import type { Hook } from '@oclif/core';

import { UsageError } from '../core/errors.js';
import { readEnvironment } from './environment.js';
import { failureOf, similarTo } from './failure.js';
import { renderFailure } from './render.js';

/** Says what was typed and what is near, in text or as the one document of `--json`; exits 2. */
const commandNotFound: Hook<'command_not_found'> = async ({ id, argv, config }) => {
  const typed = id.split(':')[0] ?? id;
  const commands = config.commandIDs;
  const error = new UsageError(`There is no command ${typed}; there are ${commands.join(', ')}`, {
    suggestions: [...similarTo(typed, commands).map((command) => `${config.bin} ${command}`), `${config.bin} --help`],
  });
  const failure = failureOf(error, { command: config.bin, flags: [] });
  if (argv?.includes('--json')) process.stdout.write(`${JSON.stringify({ error: failure }, null, 2)}\n`);
  else process.stderr.write(`${renderFailure(failure, { hasColour: process.stderr.isTTY && readEnvironment().allowsColour, stack: null })}\n`);
  throw Object.assign(error, { skipOclifErrorHandling: true });
};

export default commandNotFound;
