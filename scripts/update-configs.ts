/**
 * Rewrites what is derived from src/core/config/schema.ts and src/core/eval/tasks/task-schema.ts: the JSON Schemas for editors, and in every shipped YAML the
 * comments and the keys left out. Values and the comment block at the top of a YAML stay. Run: npm run configs:update
 */
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

import { documentedYaml } from '../src/core/config/documented-yaml.js';
import type { ConfigKind } from '../src/core/config/json-schema.js';
import { configJsonSchema } from '../src/core/config/json-schema.js';
import { loadDistillConfig, loadTeacherConfig } from '../src/core/config/load.js';
import { shippedConfigsFolder } from '../src/core/config/shipped.js';
import { taskJsonSchema } from '../src/core/eval/tasks/task.js';

/** The lines between the schema line and the first blank line, without their `#`. */
export function headerOf(text: string): string[] {
  const lines = text.split('\n');
  const end = lines.findIndex((line) => !line.startsWith('#'));
  return lines.slice(0, end).map((line) => line.replace(/^# ?/, '')).filter((line) => !line.startsWith('yaml-language-server:'));
}

/** What the files in configs/ must be, by path relative to it. */
export async function expectedConfigFiles(): Promise<Map<string, string>> {
  const root = shippedConfigsFolder();
  const files = new Map<string, string>([['schemas/task.schema.json', `${JSON.stringify(taskJsonSchema(), null, 2)}\n`]]);
  for (const kind of ['distill', 'teacher'] as const satisfies readonly ConfigKind[]) {
    files.set(`schemas/${kind}.schema.json`, `${JSON.stringify(configJsonSchema(kind), null, 2)}\n`);
    const load = kind === 'distill' ? loadDistillConfig : loadTeacherConfig;
    for (const name of (await readdir(path.join(root, kind))).filter((entry) => entry.endsWith('.yaml')).sort()) {
      const file = path.join(root, kind, name);
      files.set(`${kind}/${name}`, documentedYaml(kind, await load({ file }), headerOf(await readFile(file, 'utf8'))));
    }
  }
  return files;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await mkdir(path.join(shippedConfigsFolder(), 'schemas'), { recursive: true });
  for (const [name, text] of await expectedConfigFiles()) await writeFile(path.join(shippedConfigsFolder(), name), text);
}
