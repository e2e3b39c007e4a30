#!/usr/bin/env node
import { execute } from '@oclif/core/execute';

await execute({ dir: import.meta.url });
// A graphics device may keep the process alive after the result is out.
process.stdout.write('', () => process.exit());
