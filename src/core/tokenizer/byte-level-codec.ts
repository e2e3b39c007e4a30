import type { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers';
import type { TokenIds } from '../types.js';
import { bytesOfToken, toByteCharacters } from './byte-alphabet.js';
import type { Codec } from './codec.js';
import { streamBytes } from './decode-stream.js';
import { forEachWord } from './split-words.js';
import type { AddedToken, TokenizerJson } from './tokenizer-json.js';

/** Words whose ids are remembered; natural text repeats itself, so almost every word is a hit. */
const MAX_CACHED_WORDS = 1 << 17;
/** Longer words are rare and not worth remembering, UTF-16 units. */
const MAX_CACHED_UNITS = 32;

/** True when a tokenizer is plain byte-level byte-pair encoding, GPT-2's and OPT's kind. */
export function isByteLevel({ normalizer, pre_tokenizer: split, decoder, model, added_tokens: added }: TokenizerJson): boolean {
  const hasPlainAdded = added.every((token) => !token.lstrip && !token.rstrip && !token.single_word);
  const isPlainModel = model.type === 'BPE' && !model['continuing_subword_prefix'] && !model['end_of_word_suffix'] && !model['dropout'];
  return normalizer === null && split?.type === 'ByteLevel' && split['use_regex'] !== false && decoder?.type === 'ByteLevel' && hasPlainAdded && isPlainModel;
}

/** Encodes word by word with a memory of words; merges are the library's. */
export function createByteLevelCodec(json: TokenizerJson, library: LibraryTokenizer): Codec {
  const encodeWord = rememberWords(library);
  const added = matchAdded(json.added_tokens);
  const hasPrefixSpace = json.pre_tokenizer?.['add_prefix_space'] === true;
  const encodePlain = (text: string, ids: number[]): void => {
    if (text === '') return;
    const whole = hasPrefixSpace && !text.startsWith(' ') ? ` ${text}` : text;
    forEachWord(whole, (word) => { for (const id of encodeWord(word)) ids.push(id); });
  };
  const bytes = tokenBytes(json, library);
  return {
    encode(text) {
      const ids: number[] = [];
      let at = 0;
      for (const match of added === null ? [] : text.matchAll(added.pattern)) {
        encodePlain(text.slice(at, match.index), ids);
        ids.push(added?.ids.get(match[0]) as number);
        at = match.index + match[0].length;
      }
      encodePlain(text.slice(at), ids);
      return ids;
    },
    decode: (ids, skipped) => new TextDecoder('utf-8', { ignoreBOM: true }).decode(concatenate(ids, (id) => (skipped.has(id) ? EMPTY : bytes[id] ?? EMPTY))),
    decodeStream: (skipped) => streamBytes((id) => (skipped.has(id) ? EMPTY : bytes[id] ?? EMPTY)),
  };
}

const EMPTY = new Uint8Array(0);

function rememberWords(library: LibraryTokenizer): (word: string) => readonly number[] {
  const known = new Map<string, readonly number[]>();
  return (word) => {
    const remembered = known.get(word);
    if (remembered !== undefined) return remembered;
    const ids = mergesOf(library, toByteCharacters(word)).map((token) => library.token_to_id(token) as number);
    if (word.length <= MAX_CACHED_UNITS) {
      if (known.size >= MAX_CACHED_WORDS) known.clear();
      known.set(word, ids);
    }
    return ids;
  };
}

function mergesOf(library: LibraryTokenizer, word: string): readonly string[] {
  return library.model?.encode([word]) ?? [];
}

/** A pattern that finds added tokens, the longest where several begin; null when there are none. */
function matchAdded(tokens: readonly AddedToken[]): { pattern: RegExp; ids: ReadonlyMap<string, number> } | null {
  if (tokens.length === 0) return null;
  const longestFirst = tokens.map(({ content }) => content).sort((a, b) => b.length - a.length);
  const escaped = longestFirst.map((content) => content.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'));
  return { pattern: new RegExp(escaped.join('|'), 'g'), ids: new Map(tokens.map(({ content, id }) => [content, id])) };
}

/** Bytes of every token by its id; an added token stands for its own text. */
function tokenBytes(json: TokenizerJson, library: LibraryTokenizer): readonly (Uint8Array | undefined)[] {
  const bytes: (Uint8Array | undefined)[] = [];
  for (const [token, id] of library.get_vocab()) bytes[id] = bytesOfToken(token);
  for (const { id, content } of json.added_tokens) bytes[id] = new TextEncoder().encode(content);
  return bytes;
}

function concatenate(ids: TokenIds, bytesOf: (id: number) => Uint8Array): Uint8Array {
  const parts = Array.from(ids, bytesOf);
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (joined.set(part, at), at + part.length), 0);
  return joined;
}
