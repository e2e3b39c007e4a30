import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { parse } from 'yaml';
import { z } from 'zod';

import { ConfigError } from '../errors.js';
import { defaultEnergyConstantsPath } from './constants.js';

/** What counted events cost by one published convention, in picojoules; the files in `configs/energy/conventions` explain each number. */
export interface EnergyConvention {
  readonly name: string;
  readonly float32: ArithmeticCosts;
  /** 8-bit weights, 32-bit sums. */ readonly int8: ArithmeticCosts;
  /** How overlaps of queries and keys are paid. */ readonly overlaps: 'accumulates' | 'popcounts';
  /** AND and population count of two 64-bit words. */ readonly popcountWordPj: number;
  readonly membraneUpdatePj: number;
  /** Per bit read of a weight, */ readonly weightBitPj: number;
  /** of a cached key or value, */ readonly cacheBitPj: number;
  /** and per bit of a membrane read or written. */ readonly membraneBitPj: number;
}

export interface ArithmeticCosts {
  readonly macPj: number;
  readonly acPj: number;
}

const picojoules = z.number().nonnegative();
const arithmetic = z.strictObject({ macPj: picojoules, acPj: picojoules });
const fileSchema = z.strictObject({
  name: z.string().min(1), float32: arithmetic, int8: arithmetic, overlaps: z.enum(['accumulates', 'popcounts']),
  popcountWordPj: picojoules, membraneUpdatePj: picojoules, weightBitPj: picojoules, cacheBitPj: picojoules, membraneBitPj: picojoules,
});

/** Reads one file. @throws ConfigError naming the file, the key, what was found and what was expected. */
export async function loadConvention(path: string): Promise<EnergyConvention> {
  let document: unknown;
  try {
    document = parse(await readFile(path, 'utf8'));
  } catch (cause) {
    throw new ConfigError(`${path} cannot be read as YAML: ${(cause as Error).message}`, { cause });
  }
  const parsed = fileSchema.safeParse(document);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'the document'}: ${issue.message}`);
  throw new ConfigError(`${path} is not an energy convention: ${problems.join('; ')}`, { suggestions: [`The keys are ${Object.keys(fileSchema.shape).join(', ')}`] });
}

/** Those that ship with the program, by name. */
export async function loadConventions(): Promise<readonly EnergyConvention[]> {
  const folder = join(dirname(defaultEnergyConstantsPath()), 'conventions');
  const files = (await readdir(folder)).filter((name) => name.endsWith('.yaml')).sort();
  return Promise.all(files.map((name) => loadConvention(join(folder, name))));
}
