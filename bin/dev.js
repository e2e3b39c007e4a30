#!/usr/bin/env node
// Runs the TypeScript in src/ without a build.
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { execute } from '@oclif/core/execute';
import { register } from 'tsx/esm/api';

register();
const root = path.dirname(import.meta.dirname);
const pjson = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
pjson.oclif.commands = './src/commands';
pjson.oclif.hooks = { command_not_found: './src/cli/command-not-found.ts' };
await execute({ loadOptions: { root, pjson } });
process.stdout.write('', () => process.exit());
