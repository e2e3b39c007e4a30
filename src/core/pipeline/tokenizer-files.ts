import { access, copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';

/** Everything a tokenizer may consist of in a model folder. */
const TOKENIZER_FILES = ['tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json', 'vocab.json', 'merges.txt'];

async function exists(path: string): Promise<boolean> {
  return access(path).then(() => true, () => false);
}

/** True when a model folder has a tokenizer of its own. */
export async function hasTokenizer(folder: string): Promise<boolean> {
  return (await exists(join(folder, 'tokenizer.json'))) || (await exists(join(folder, 'vocab.json')));
}

/** Copies the tokenizer of one model folder into another. */
export async function copyTokenizer(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const name of TOKENIZER_FILES) {
    if (await exists(join(from, name))) await copyFile(join(from, name), join(to, name));
  }
}
