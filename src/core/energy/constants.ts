import { readFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { parse } from 'yaml';
import { z } from 'zod';

import { ConfigError } from '../errors.js';

/** What one operation costs, in picojoules. */
export interface EnergyConstants {
  readonly name: string;
  /** E_MAC: one multiply-accumulate. */ readonly macPj: number;
  /** E_AC: one accumulate. */ readonly acPj: number;
}

const picojoules = z.number().positive();
const fileSchema = z.strictObject({ name: z.string().min(1), macPj: picojoules, acPj: picojoules });

const DEFAULT_FILE = join('configs', 'energy', 'horowitz-45nm.yaml');

/** Path of the constants that ship with the package, found upwards from this file (it runs from `src` and from `dist`). */
export function defaultEnergyConstantsPath(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const path = join(folder, DEFAULT_FILE);
    if (existsSync(path)) return path;
    const parent = dirname(folder);
    if (parent === folder) throw new ConfigError(`${DEFAULT_FILE} is not beside the program`, { suggestions: ['Reinstall bispik'] });
    folder = parent;
  }
}

/**
 * Reads and validates a file of energy constants (`configs/energy/*.yaml`).
 * @throws ConfigError naming the file, the key, what was found and what was expected.
 */
export async function loadEnergyConstants(path: string = defaultEnergyConstantsPath()): Promise<EnergyConstants> {
  let document: unknown;
  try {
    document = parse(await readFile(path, 'utf8'));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError(`${path} cannot be read as YAML: ${reason}`, { cause });
  }
  const parsed = fileSchema.safeParse(document);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'the document'}: ${issue.message}`);
    throw new ConfigError(`${path} is not a file of energy constants: ${problems.join('; ')}`, {
      suggestions: ['The keys are name, macPj and acPj (picojoules, above 0)'],
    });
  }
  return parsed.data;
}
