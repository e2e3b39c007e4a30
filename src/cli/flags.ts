import { Flags } from '@oclif/core';

import type { BackendName } from '../core/config/fields.js';

// Written out, so that `--help` loads neither zod nor the configuration; a test keeps it equal to BACKEND_NAMES.
const BACKENDS = ['auto', 'webgpu', 'wasm', 'tensorflow', 'cpu'] as const satisfies readonly BackendName[];

/** `--backend`, for commands without a configuration file. */
export const backendFlag = Flags.option({
  options: BACKENDS, default: 'auto' as const, summary: 'What computes; auto takes the fastest that works here and reports it.',
});

/** `--config FILE`. */
export const configFlag = { helpValue: 'FILE', summary: 'Configuration of the run (YAML).' } as const;

/** `--set a.b=value`, any number of times. */
export const setFlag = {
  multiple: true, multipleNonGreedy: true, helpValue: 'KEY=VALUE', summary: 'Override a key of the configuration; may be repeated.',
} as const;

/** A decimal number. */
export const numberFlag = Flags.custom<number>({
  helpValue: 'NUMBER',
  parse: async (input) => {
    const value = Number(input);
    if (input.trim() === '' || !Number.isFinite(value)) throw new TypeError(`Expected a number but received: ${input}`);
    return value;
  },
});
