import { readFile } from 'node:fs/promises';

import { z } from 'zod';

import { FormatError } from '../errors.js';
import { explainWriteFailure, writeTextAtomically } from '../hub/atomic-write.js';
import type { Measured } from './measures.js';

/** Repeats kept; the oldest leave first. */
const MOST_REPEATS = 50;

const facts = z.record(z.string(), z.union([z.string(), z.number()]));
const fileSchema = z.strictObject({
  format: z.literal('bispik baseline'),
  version: z.literal(1),
  subject: z.strictObject({ model: facts, measuredOn: facts }),
  measures: z.array(z.strictObject({
    name: z.string(), better: z.enum(['lower', 'higher']), values: z.array(z.number()).min(1), outcomes: z.array(z.union([z.literal(0), z.literal(1)])).nullable(),
  })),
});

/** A stored run, and its repeats: the same measurement with other seeds, which show its noise. */
export type Baseline = z.infer<typeof fileSchema>;

/** Reads a baseline. @throws FormatError naming the file and what is wrong with it. */
export async function readBaseline(path: string): Promise<Baseline> {
  const suggestions = ['--bless (writes a new baseline from this run)'];
  const text = await readFile(path, 'utf8').catch((cause: unknown) => { throw new FormatError(`${path} cannot be read: there is no baseline to compare with`, { cause, suggestions }); });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new FormatError(`${path} is not JSON: ${(cause as Error).message}`, { cause, suggestions });
  }
  const parsed = fileSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const [problem] = parsed.error.issues;
  throw new FormatError(`${path} is not a baseline of this program: ${problem?.path.join('.') || 'the document'}: ${problem?.message}`, { suggestions });
}

export async function writeBaseline(path: string, baseline: Baseline): Promise<void> {
  await writeTextAtomically(path, `${JSON.stringify(baseline, null, 1)}\n`).catch((cause: unknown) => { throw explainWriteFailure(path, cause); });
}

/** A baseline of one run. */
export function newBaseline({ subject, measures }: Measured): Baseline {
  return {
    format: 'bispik baseline', version: 1, subject: { model: { ...subject.model }, measuredOn: { ...subject.measuredOn } },
    measures: measures.map(({ name, better, value, outcomes }) => ({ name, better, values: [value], outcomes: outcomes === null ? null : outcomes.map((hit) => (hit === 0 ? 0 : 1)) })),
  };
}

/** The same with one more repeat; measures that only one side has are those of the run. */
export function withRepeat(baseline: Baseline, run: Measured): Baseline {
  const known = new Map(baseline.measures.map((measure) => [measure.name, measure]));
  const fresh = newBaseline(run);
  return { ...fresh, measures: fresh.measures.map((measure) => ({ ...measure, values: [...(known.get(measure.name)?.values ?? []), ...measure.values].slice(-MOST_REPEATS) })) };
}

/** What differs between the subjects of a baseline and of a run, in words; empty when they may be compared. */
export function differences(baseline: Baseline, { subject }: Measured): string[] {
  const of = (part: 'model' | 'measuredOn'): string[] => {
    const [before, now] = [baseline.subject[part], subject[part]];
    const keys = [...new Set([...Object.keys(before), ...Object.keys(now)])];
    return keys.filter((key) => before[key] !== now[key]).map((key) => `${key} is ${now[key] ?? 'absent'}, was ${before[key] ?? 'absent'}`);
  };
  return [...of('model'), ...of('measuredOn')];
}
