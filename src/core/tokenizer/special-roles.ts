import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FormatError } from '../errors.js';

/** Tokens with a part to play; null: the model has none. */
export interface SpecialRoles {
  readonly bos: string | null;
  readonly eos: string | null;
  readonly unk: string | null;
  readonly pad: string | null;
}

/** What the files beside a tokenizer say about it. Null everywhere they are silent. */
export interface SideFiles {
  readonly roles: SpecialRoles;
  /** `add_bos_token` of tokenizer_config.json. */ readonly addsBos: boolean | null;
  /** From config.json. */ readonly modelType: string | null;
  /** From config.json; used where no file names the token. */ readonly bosId: number | null;
  readonly eosId: number | null;
}

type Json = Readonly<Record<string, unknown>>;

/** Reads tokenizer_config.json, special_tokens_map.json and config.json as far as they are there. @throws FormatError on broken JSON. */
export async function readSideFiles(folder: string): Promise<SideFiles> {
  const [tokenizerConfig, specialTokensMap, config] = await Promise.all(
    ['tokenizer_config.json', 'special_tokens_map.json', 'config.json'].map((name) => readObject(join(folder, name))),
  );
  const role = (name: string): string | null => contentOf(tokenizerConfig?.[name]) ?? contentOf(specialTokensMap?.[name]);
  const number = (name: string): number | null => (typeof config?.[name] === 'number' ? config[name] : null);
  return {
    roles: { bos: role('bos_token'), eos: role('eos_token'), unk: role('unk_token'), pad: role('pad_token') },
    addsBos: typeof tokenizerConfig?.['add_bos_token'] === 'boolean' ? tokenizerConfig['add_bos_token'] : null,
    modelType: typeof config?.['model_type'] === 'string' ? config['model_type'] : null,
    bosId: number('bos_token_id'), eosId: number('eos_token_id'),
  };
}

/** A role is written as the token itself or as an object with its content. */
function contentOf(value: unknown): string | null {
  if (typeof value === 'string') return value;
  const content = (value as { content?: unknown } | null | undefined)?.content;
  return typeof content === 'string' ? content : null;
}

/** Null when the file is not there. */
async function readObject(path: string): Promise<Json | null> {
  const text = await readTextOrNull(path);
  if (text === null) return null;
  const value = parseJson(text, path);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new FormatError(`${path} is not a JSON object`);
  return value as Json;
}

/** A file's text; null when it is not there. @throws FormatError when it cannot be read. */
export async function readTextOrNull(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new FormatError(`${path} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

/** @throws FormatError naming the file. */
export function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new FormatError(`${path} is not valid JSON: ${(cause as Error).message}`, { cause, suggestions: ['download the tokenizer again: the file may be cut short'] });
  }
}
