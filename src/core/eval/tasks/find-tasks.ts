import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { nearestOf } from '../../config/nearest.js';
import { shippedConfigsFolder } from '../../config/shipped.js';
import { ConfigError, UsageError } from '../../errors.js';
import type { Task } from './task.js';
import { parseTask } from './task.js';

/** Where the tasks that ship are. */
export function shippedTasksFolder(): string {
  return join(shippedConfigsFolder(), 'tasks');
}

async function taskFiles(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder).catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError(`the tasks' folder ${folder} cannot be read (${cause.code})`, { cause, suggestions: ['Name a folder of YAML task files: --include-path my-tasks'] });
  });
  return names.filter((name) => /\.ya?ml$/.test(name)).sort().map((name) => join(folder, name));
}

/**
 * Reads the named tasks, in the order named, each once. Files of `includePath` come before those that ship, so that a task of the same name takes the
 * place of a shipped one.
 * @throws UsageError on an unknown name, with the nearest one; ConfigError on a task file that cannot be read, whichever task it holds.
 */
export async function findTasks(names: readonly string[], includePath: string | null): Promise<readonly Task[]> {
  const folders = [...(includePath === null ? [] : [includePath]), shippedTasksFolder()];
  const known = new Map<string, Task>();
  for (const folder of folders) {
    const here = new Map<string, Task>();
    for (const file of await taskFiles(folder)) {
      const task = parseTask(await readFile(file, 'utf8'), file);
      const twin = here.get(task.task);
      if (twin !== undefined) throw new ConfigError(`${twin.file} and ${file} both define the task ${task.task}`, { suggestions: ['Rename one of them'] });
      here.set(task.task, task);
    }
    for (const [name, task] of here) if (!known.has(name)) known.set(name, task);
  }
  return [...new Set(names)].map((name) => known.get(name) ?? unknownTask(name, [...known.keys()]));
}

function unknownTask(name: string, known: readonly string[]): never {
  const nearest = nearestOf(name, known);
  throw new UsageError(`there is no task ${JSON.stringify(name)}`, {
    suggestions: [...(nearest === null ? [] : [`Did you mean ${nearest}?`]), `Tasks: ${[...known].sort().join(', ')}`, 'Your own: --include-path FOLDER'],
  });
}
