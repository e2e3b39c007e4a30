import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { UsageError } from '../../errors.js';
import { ITEM_FILE } from './read-rows.js';
import type { Task } from './task.js';

/** Files that hold a split of a task. */
export interface ItemFiles {
  readonly files: readonly string[];
  /** The split the files hold, as far as their names say; null: they name none. */ readonly split: string | null;
  /** Repository and commit on the Hub; null for local files. */ readonly dataset: { readonly path: string; readonly commit: string } | null;
}

/** Words in file names that stand for a split. */
const SPLIT_WORDS: Readonly<Record<string, readonly string[]>> = { validation: ['validation', 'valid', 'val', 'dev'], test: ['test', 'tests'], train: ['train', 'training'] };
const SHARD = /-\d{5}-of-\d{5}\.parquet$/;

/** The split a file name tells; null when it tells none. */
export function splitOfName(name: string): string | null {
  const words = name.toLowerCase().split(/[^a-z]+/);
  return Object.keys(SPLIT_WORDS).find((split) => SPLIT_WORDS[split]!.some((word) => words.includes(word))) ?? null;
}

/**
 * Local files with a split of a task: `FOLDER/TASK.jsonl`, or those in `FOLDER/TASK/` (`.parquet` alike). Files named after the split come first, then files
 * that name none, then those of another split, where `strict` allows; of several, the first by name, with all shards of its set.
 * @returns null when the folder has nothing for the split.
 */
export async function findLocalFiles(task: Task, folder: string, wanted: { readonly split: string; readonly strict: boolean }): Promise<ItemFiles | null> {
  const candidates = await candidateFiles(task, folder);
  const ranked = candidates.map((path) => {
    const split = splitOfName(path.slice(folder.length));
    const rank = split === wanted.split ? 0 : split === null && !wanted.strict ? 1 : wanted.strict ? 3 : 2;
    return { path, split, rank };
  }).filter(({ rank }) => rank < 3).sort((a, b) => a.rank - b.rank || (a.path < b.path ? -1 : 1));
  const [first] = ranked;
  if (first === undefined) return null;
  const family = (path: string): string => path.replace(SHARD, '');
  const files = ranked.filter(({ path }) => path === first.path || (SHARD.test(path) && family(path) === family(first.path))).map(({ path }) => path);
  return { files, split: first.split, dataset: null };
}

async function candidateFiles(task: Task, folder: string): Promise<readonly string[]> {
  const isFolder = await stat(folder).then((found) => found.isDirectory(), () => false);
  if (!isFolder) throw new UsageError(`--data-path ${folder} is not a folder`, { suggestions: ['Name the folder that holds one folder or file a task'] });
  for (const name of [task.task, ...task.local]) {
    const inside = await readdir(join(folder, name), { recursive: true }).catch(() => []);
    const direct = (await readdir(folder)).filter((file) => ['jsonl', 'parquet'].some((extension) => file === `${name}.${extension}`));
    const found = [...inside.filter((file) => ITEM_FILE.test(file)).map((file) => join(folder, name, file)), ...direct.map((file) => join(folder, file))];
    if (found.length > 0) return found;
  }
  return [];
}

/** What a folder without a task's items is told as. */
export function noLocalItems(task: Task, folder: string): UsageError {
  const names = [task.task, ...task.local].map((name) => `${join(folder, name)}/*.jsonl`).join(' or ');
  return new UsageError(`${folder} has no items of ${task.task}`, { suggestions: [`Put them at ${names} (or .parquet)`, 'Leave out --data-path to fetch them from the Hub'] });
}
