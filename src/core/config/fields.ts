import { z } from 'zod';

/** A whole number of at least `minimum`. */
export const wholeNumber = (minimum: number) => z.number().int().min(minimum);
/** A number in [0, 1]. */
export const fraction = () => z.number().min(0).max(1);
/** A number greater than 0. */
export const positive = () => z.number().positive();
/** A number of at least 0. */
export const nonNegative = () => z.number().min(0);
/** A path, relative to the current directory unless absolute. */
export const path = () => z.string().min(1);

/** Which software computes; `auto` takes the fastest that works here and reports it. */
export const BACKEND_NAMES = ['auto', 'webgpu', 'wasm', 'tensorflow', 'cpu'] as const;
export type BackendName = (typeof BACKEND_NAMES)[number];

export const runField = path().describe('Folder of this run: resolved config, metrics.jsonl, checkpoints, best model. Created; must not hold another run.');
export const seedField = wholeNumber(0).max(2 ** 32 - 1).default(0)
  .describe('Seed of every random choice: initial weights and order of the batches. Same seed, same backend, same result.');
export const backendField = z.enum(BACKEND_NAMES).default('auto')
  .describe('What computes: auto = the fastest that works here; the choice is reported. `bispik doctor` lists them.');
