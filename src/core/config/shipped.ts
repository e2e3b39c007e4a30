import path from 'node:path';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The folder that holds package.json, whether this runs from src/ or from dist/src/. */
export function packageRoot(): string {
  let folder = path.dirname(fileURLToPath(import.meta.url));
  while (!existsSync(path.join(folder, 'package.json'))) folder = path.dirname(folder);
  return folder;
}

/** Where the documented recipes are. */
export function shippedConfigsFolder(): string {
  return path.join(packageRoot(), 'configs');
}

const BUILT_IN_TEACHERS: Readonly<Record<string, string>> = { 'builtin:stories': 'assets/stories-teacher' };

/** Turns the name of a built-in teacher into its folder; every other path is returned as it is. */
export function teacherFolder(teacher: string): string {
  const builtIn = BUILT_IN_TEACHERS[teacher];
  return builtIn === undefined ? teacher : path.join(packageRoot(), builtIn);
}

/** The name of a built-in teacher whose folder this is; every other path is returned as it is. */
export function teacherName(folder: string): string {
  return Object.keys(BUILT_IN_TEACHERS).find((name) => teacherFolder(name) === folder) ?? folder;
}
