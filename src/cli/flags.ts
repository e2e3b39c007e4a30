import { Flags } from '@oclif/core';

import type { BackendName } from '../core/config/fields.js';
import type { WeightPrecision } from '../core/types.js';

// Written out, so that `--help` loads neither zod nor the configuration; a test keeps it equal to BACKEND_NAMES.
const BACKENDS = ['auto', 'engine', 'webgpu', 'wasm', 'tensorflow', 'cpu'] as const satisfies readonly (BackendName | 'engine')[];
const PRECISIONS = ['float32', 'int8', 'int4'] as const satisfies readonly WeightPrecision[];

/** What runs a model, for commands that only run one; `precision` is what the command takes when the user names none. */
export const runFlags = (precision: WeightPrecision) => ({
  backend: Flags.option({
    options: BACKENDS, default: 'auto' as const, summary: 'What computes; auto: students on the engine, dense models on the fastest that works here.',
  })(),
  precision: Flags.option({ options: PRECISIONS, summary: `Weights on the engine [default: ${precision}].` })(),
  threads: Flags.integer({ min: 1, helpValue: 'COUNT', summary: 'Threads of the engine [default: by the size of the model].' }),
});

/** `--config FILE`. */
export const configFlag = { helpValue: 'FILE', summary: 'Configuration of the run (YAML).' } as const;

/** `--set a.b=value`, any number of times. */
export const setFlag = {
  multiple: true, multipleNonGreedy: true, helpValue: 'KEY=VALUE', summary: 'Override a key of the configuration; may be repeated.',
} as const;

/** `--threads COUNT` of commands that train. */
export const threadsFlag = { min: 1, helpValue: 'COUNT', summary: 'Threads on the CPU; same result for any number [default: one per micro-batch, at most all cores].' } as const;

/** A decimal number. */
export const numberFlag = Flags.custom<number>({
  helpValue: 'NUMBER',
  parse: async (input) => {
    const value = Number(input);
    if (input.trim() === '' || !Number.isFinite(value)) throw new TypeError(`Expected a number but received: ${input}`);
    return value;
  },
});
