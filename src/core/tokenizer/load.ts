import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';

import { FormatError } from '../errors.js';
import type { TokenIds } from '../types.js';
import { BYTE_CHARACTERS } from './byte-alphabet.js';

/** A model folder's tokenizer. */
export interface Tokenizer {
  /** V: one more than the largest id. */ readonly vocabSize: number;
  readonly bosId: number | null;
  readonly eosId: number | null;
  encode(text: string, options?: { readonly addSpecialTokens: boolean }): number[];
  decode(ids: TokenIds): string;
  /** Text as ids arrive, never a part of a character. */
  decodeStream(): { push(id: number): string; flush(): string };
  /** SHA-256 of tokenizer.json. */ readonly hash: string;
}

/** Loads `tokenizer.json` of a model folder. @throws FormatError naming the file that is missing or broken. */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  const file = join(folder, 'tokenizer.json');
  const bytes = await readFile(file).catch((cause: unknown) => {
    throw new FormatError(`${file} cannot be read: ${(cause as Error).message}`, { cause });
  });
  const json = JSON.parse(bytes.toString('utf8')) as object;
  const config = JSON.parse(await readFile(join(folder, 'tokenizer_config.json'), 'utf8').catch(() => '{}')) as Record<string, unknown>;
  return wrap(new HuggingFaceTokenizer(json, config), config, createHash('sha256').update(bytes).digest('hex'));
}

function wrap(inner: HuggingFaceTokenizer, config: Record<string, unknown>, hash: string): Tokenizer {
  const vocabulary = inner.get_vocab(true);
  const vocabSize = Math.max(...vocabulary.values()) + 1;
  const idOf = (key: string): number | null => (typeof config[key] === 'string' ? inner.token_to_id(config[key]) ?? null : null);
  const tokenBytes = bytesOfTokens(inner, vocabulary);
  const decodeStream = (): { push(id: number): string; flush(): string } => {
    const decoder = new TextDecoder('utf-8');
    return { push: (id) => decoder.decode(tokenBytes.get(id) ?? new Uint8Array(), { stream: true }), flush: () => decoder.decode() };
  };
  return {
    vocabSize, bosId: idOf('bos_token'), eosId: idOf('eos_token'), hash, decodeStream,
    encode: (text, options = { addSpecialTokens: false }) => inner.encode(text, { add_special_tokens: options.addSpecialTokens }).ids,
    decode: (ids) => {
      const stream = decodeStream();
      return Array.from(ids, (id) => stream.push(id)).join('') + stream.flush();
    },
  };
}

function bytesOfTokens(inner: HuggingFaceTokenizer, vocabulary: Map<string, number>): Map<number, Uint8Array> {
  const byteOf = new Map(BYTE_CHARACTERS.map((character, byte) => [character, byte]));
  const added = inner.get_added_tokens_decoder();
  const encoder = new TextEncoder();
  return new Map(Array.from(vocabulary, ([token, id]) => {
    if (added.has(id)) return [id, encoder.encode(token)];
    return [id, Uint8Array.from(Array.from(token, (character) => byteOf.get(character) ?? 0x3f))];
  }));
}
