import { appendFile, readFile } from 'node:fs/promises';

import { explainWriteFailure, writeTextAtomically } from '../hub/atomic-write.js';

/** One line of metrics.jsonl. Numbers that are not finite are stored as null. */
export interface MetricsRecord {
  readonly step: number;
  /** Trained on so far. */ readonly tokens: number;
  /** Of this step, nats per token. */ readonly loss: number;
  /** Weighted, they sum to `loss`; a term that is switched off or does not exist contributes 0. */
  readonly terms: Readonly<Record<string, number>>;
  /** Before clipping, over all parameters. */ readonly gradNorm: number;
  /** Per loss term; empty on steps that do not measure it. */ readonly gradNorms: Readonly<Record<string, number>>;
  readonly lr: number;
  /** Mean over sites; null for a dense model. */ readonly firingRate: number | null;
  readonly tokensPerSecond: number;
  /** Steps skipped so far because something was not finite. */ readonly skippedSteps: number;
  /** Only on steps that validate. */ readonly valid: { readonly nll: number } | null;
}

/** Terms every line has. */
const STANDARD_TERMS: Readonly<Record<string, number>> = { ea: 0, saa: 0, sfa: 0, sta: 0, hta: 0, rateLoss: 0 };

/** The log of a run. */
export interface MetricsLog {
  /** @throws FormatError when the disk is full or refuses. */
  append(record: MetricsRecord): Promise<void>;
}

/**
 * Opens metrics.jsonl for a run that stands at `step`: lines of later steps, and a last line cut short, are dropped.
 * @throws FormatError when it cannot be written.
 */
export async function openMetrics(path: string, step: number): Promise<MetricsLog> {
  const lines = (await readIfThere(path)).split('\n').filter((line) => stepOf(line) <= step);
  await writeTextAtomically(path, lines.map((line) => `${line}\n`).join(''));
  return {
    append: async (record) => {
      try {
        await appendFile(path, `${formatRecord(record)}\n`);
      } catch (error) {
        throw explainWriteFailure(path, error);
      }
    },
  };
}

/** A record as its line, in the order of the documentation. */
export function formatRecord(record: MetricsRecord): string {
  const { step, tokens, loss, terms, valid, ...rest } = record;
  return JSON.stringify({ step, tokens, loss, ...STANDARD_TERMS, ...terms, ...rest, ...(valid === null ? {} : { valid }) });
}

async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

/** The step of a line; infinite for a line that is not a whole record. */
function stepOf(line: string): number {
  try {
    const { step } = JSON.parse(line) as { step?: unknown };
    return typeof step === 'number' ? step : Infinity;
  } catch {
    return Infinity;
  }
}
