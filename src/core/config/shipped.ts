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

/** A dense teacher, and the student that its recipe makes of it. */
const BUILT_IN: Readonly<Record<string, string>> = { 'builtin:stories': 'assets/stories-teacher', 'builtin:stories-student': 'assets/stories-student' };

/** Turns the name of a built-in model into its folder; every other path is returned as it is. */
export function teacherFolder(teacher: string): string {
  const builtIn = BUILT_IN[teacher];
  return builtIn === undefined ? teacher : path.join(packageRoot(), builtIn);
}

/** The name of a built-in model whose folder this is; every other path is returned as it is. */
export function teacherName(folder: string): string {
  return Object.keys(BUILT_IN).find((name) => teacherFolder(name) === folder) ?? folder;
}
