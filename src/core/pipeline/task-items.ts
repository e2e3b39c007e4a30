import { join } from 'node:path';

import { downloadSplit } from '../hub/dataset-files.js';
import { UsageError } from '../errors.js';
import { withExamples } from '../eval/tasks/few-shot.js';
import type { ItemFiles } from '../eval/tasks/item-source.js';
import { findLocalFiles, noLocalItems } from '../eval/tasks/item-source.js';
import type { TaskItem } from '../eval/tasks/items.js';
import { buildItems } from '../eval/tasks/items.js';
import { readRows } from '../eval/tasks/read-rows.js';
import type { TaskInput } from '../eval/tasks/run-task.js';
import type { Task } from '../eval/tasks/task.js';
import type { RunContext } from '../types.js';

/** Where items come from, and how many. */
export interface TaskItemsOptions {
  /** Folder with one folder or file a task; null: the Hub. */ readonly dataPath: string | null;
  /** Examples before each item. */ readonly shots: number;
  /** Items scored a task: a count, or below 1 a share of them; null: all. */ readonly limit: number | null;
  readonly hub: { readonly endpoint: string; readonly token: string | null; readonly cacheDir: string };
}

/**
 * Reads the items of a task, from local files or the Hub, and puts examples before them.
 * @throws UsageError where there are none, FormatError on files and items that cannot be used, DownloadError, Interrupted.
 */
export async function loadTaskInput(task: Task, options: TaskItemsOptions, ctx: RunContext): Promise<TaskInput> {
  const { shots, limit } = options;
  const source = await findFiles(task, { split: task.split, strict: false, options }, ctx);
  if (source === null) throw options.dataPath === null ? noItems(task) : noLocalItems(task, options.dataPath);
  if (source.split !== null && source.split !== task.split) ctx.reporter.notice(`${task.task}: scored on the ${source.split} split (${source.files.join(', ')}): there is no ${task.split} split in ${options.dataPath}`);
  if (limit !== null && !(limit > 0)) throw new UsageError(`--limit ${limit} leaves nothing to score`, { suggestions: ['--limit 100', '--limit 0.1 for a tenth of the items'] });
  const items = await readItems(task, source);
  const fewshotSource = shots === 0 || task.fewshot_split === null ? null : await findFiles(task, { split: task.fewshot_split, strict: true, options }, ctx);
  if (shots > 0 && task.fewshot_split !== null && fewshotSource === null) ctx.reporter.notice(`${task.task}: no ${task.fewshot_split} split is there, so examples are drawn from the scored items, each without itself`);
  const pool = fewshotSource === null ? null : await readItems(task, fewshotSource);
  const scored = withExamples(items.slice(0, countOf(items.length, limit)), task, { shots, pool, split: items });
  return { task, items: scored, original: items.length, source, shots, fewshotSource };
}

/** As the harness counts: a share is rounded up. */
function countOf(all: number, limit: number | null): number {
  if (limit === null) return all;
  return limit < 1 ? Math.ceil(all * limit) : Math.floor(limit);
}

function noItems(task: Task): UsageError {
  return new UsageError(`${task.task} names no dataset on the Hub`, { suggestions: ['--data-path FOLDER with the items', `Or name dataset.path in ${task.file}`] });
}

async function findFiles(task: Task, { split, strict, options }: { readonly split: string; readonly strict: boolean; readonly options: TaskItemsOptions }, ctx: RunContext): Promise<ItemFiles | null> {
  if (options.dataPath !== null) return findLocalFiles(task, options.dataPath, { split, strict });
  if (task.dataset === null) return null;
  const { path, name, revision } = task.dataset;
  const snapshot = await downloadSplit({ repo: path, revision, offline: false, ...options.hub }, { name, split }, ctx);
  return { files: snapshot.files.map((file) => join(snapshot.folder, file.name)), split, dataset: { path, commit: snapshot.commit! } };
}

async function readItems(task: Task, { files }: ItemFiles): Promise<readonly TaskItem[]> {
  const items: TaskItem[] = [];
  for (const file of files) items.push(...buildItems(task, await readRows(file), items.length));
  return items;
}
