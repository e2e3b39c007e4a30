import { createHash } from 'node:crypto';
import { z } from 'zod';
import { FormatError } from '../errors.js';

const addedToken = z.looseObject({
  id: z.int().nonnegative(),
  content: z.string().min(1),
  single_word: z.boolean().default(false),
  lstrip: z.boolean().default(false),
  rstrip: z.boolean().default(false),
  normalized: z.boolean().default(false),
  special: z.boolean().default(false),
});

const part = z.looseObject({ type: z.string() }).nullable().default(null);

/** What is read of a `tokenizer.json`; keys not named here are kept as they are. */
const tokenizerJson = z.looseObject({
  added_tokens: z.array(addedToken).default([]),
  normalizer: part,
  pre_tokenizer: part,
  post_processor: part,
  decoder: part,
  model: z.looseObject({ type: z.string() }),
});

/** A `tokenizer.json` in the layout of Hugging Face `tokenizers`. */
export type TokenizerJson = z.infer<typeof tokenizerJson>;

/** A token that is cut out of the text before everything else. */
export type AddedToken = TokenizerJson['added_tokens'][number];

/** Checks a parsed `tokenizer.json`. @throws FormatError naming the file and the key that is missing or of the wrong type. */
export function parseTokenizerJson(value: unknown, path: string): TokenizerJson {
  const parsed = tokenizerJson.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const key = issue === undefined || issue.path.length === 0 ? 'the whole file' : issue.path.join('.');
  throw new FormatError(`${path} is not a tokenizer.json: ${key}: ${issue?.message ?? 'not readable'}`, { suggestions: ['download the tokenizer again'] });
}

/** The bytes a `tokenizer.json` is stored as: one form, so equal tokenizers have equal hashes. */
export function serializeTokenizer(json: TokenizerJson): string {
  return `${JSON.stringify(json, null, 2)}\n`;
}

/** SHA-256 of a stored `tokenizer.json`. */
export function hashTokenizer(stored: string | Uint8Array): string {
  return createHash('sha256').update(stored).digest('hex');
}
