import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import type { RunDescription } from '../eval/tasks/harness-results.js';
import { harnessResults, harnessSamples, sanitizeModelName } from '../eval/tasks/harness-results.js';
import type { ModelRole, TaskRun } from '../eval/tasks/run-task.js';
import { explainWriteFailure, writeTextAtomically } from '../hub/atomic-write.js';

export interface TaskResultFiles {
  /** Folder above one folder a model. */ readonly out: string;
  readonly runs: readonly TaskRun[];
  readonly role: ModelRole;
  readonly about: RunDescription;
  /** Also write every item, its prompts and answers. */ readonly logSamples: boolean;
}

/**
 * Writes `OUT/MODEL/results_DATE.json`, and `samples_TASK_DATE.jsonl` for every task where asked, each complete or not at all.
 * @returns the paths. @throws FormatError when the disk refuses.
 */
export async function writeTaskResults({ out, runs, role, about, logSamples }: TaskResultFiles): Promise<readonly string[]> {
  const folder = join(out, sanitizeModelName(about.modelName));
  await mkdir(folder, { recursive: true }).catch((cause: unknown) => { throw explainWriteFailure(folder, cause); });
  const date = new Date(about.date * 1000).toISOString().replace('Z', '').replaceAll(':', '-');
  const results = join(folder, `results_${date}.json`);
  await writeTextAtomically(results, `${JSON.stringify(harnessResults(runs, role, about), null, 2)}\n`);
  const files = [results];
  for (const run of logSamples ? runs : []) {
    const path = join(folder, `samples_${run.report.task}_${date}.jsonl`);
    await writeTextAtomically(path, harnessSamples(run, role).map((sample) => `${JSON.stringify(sample)}\n`).join(''));
    files.push(path);
  }
  return files;
}
