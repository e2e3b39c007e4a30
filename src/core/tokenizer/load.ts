import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers';
import { join } from 'node:path';
import { FormatError } from '../errors.js';
import type { TokenIds } from '../types.js';
import { createByteLevelCodec, isByteLevel } from './byte-level-codec.js';
import { createLibraryCodec } from './codec.js';
import type { SpecialTokens } from './convert.js';
import { convertGpt2Tokenizer } from './convert.js';
import type { DecodeStream } from './decode-stream.js';
import type { SideFiles } from './special-roles.js';
import { parseJson, readSideFiles, readTextOrNull } from './special-roles.js';
import type { TokenizerJson } from './tokenizer-json.js';
import { hashTokenizer, parseTokenizerJson, serializeTokenizer } from './tokenizer-json.js';

/** Text to token ids and back. */
export interface Tokenizer {
  /** One more than the largest id. */ readonly vocabSize: number;
  readonly bosId: number | null;
  readonly eosId: number | null;
  /** SHA-256 of the bytes of tokenizer.json. */ readonly hash: string;
  /** Special tokens are the ones the tokenizer puts around a text by itself, such as OPT's `</s>` before it; added unless said otherwise. */
  encode(text: string, options?: { readonly addSpecialTokens: boolean }): number[];
  /** Ids without a token (a model's padded vocabulary) give no text; special tokens neither, unless said otherwise. */
  decode(ids: TokenIds, options?: { readonly skipSpecialTokens: boolean }): string;
  /** Text as ids arrive, special tokens left out; together the same as `decode`. */
  decodeStream(): DecodeStream;
}

/** A tokenizer.json and the hash of its stored bytes. */
export interface StoredTokenizer {
  readonly json: TokenizerJson;
  readonly hash: string;
}

/**
 * Loads the tokenizer of a model folder: tokenizer.json, else vocab.json and merges.txt.
 * @throws FormatError naming the file that is missing or broken.
 */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  const sideFiles = await readSideFiles(folder);
  return createTokenizer(await readStored(folder, sideFiles), sideFiles, folder);
}

/** The tokenizer.json of a model folder, made from vocab.json and merges.txt where there is none. @throws FormatError as {@link loadTokenizer}. */
export async function readTokenizerJson(folder: string): Promise<TokenizerJson> {
  return (await readStored(folder, await readSideFiles(folder))).json;
}

async function readStored(folder: string, sideFiles: SideFiles): Promise<StoredTokenizer> {
  const path = join(folder, 'tokenizer.json');
  const stored = await readTextOrNull(path);
  if (stored !== null) return { json: parseTokenizerJson(parseJson(stored, path), path), hash: hashTokenizer(stored) };
  const [vocab, merges] = await Promise.all(['vocab.json', 'merges.txt'].map((name) => readTextOrNull(join(folder, name))));
  if (typeof vocab !== 'string' || typeof merges !== 'string') {
    const missing = typeof vocab === 'string' ? 'merges.txt' : typeof merges === 'string' ? 'vocab.json' : 'tokenizer.json (or vocab.json and merges.txt)';
    throw new FormatError(`${folder} has no tokenizer: ${missing} not found`, { suggestions: ['copy the tokenizer files of the original model into the folder'] });
  }
  const json = convertGpt2Tokenizer(parseJson(vocab, join(folder, 'vocab.json')), merges, gpt2Conventions(sideFiles));
  return { json, hash: hashTokenizer(serializeTokenizer(json)) };
}

/** OPT's tokenizer is GPT-2's with `</s>` for start, end and unknown, put before every text; tokenizer_config.json overrides that. */
function gpt2Conventions({ roles, addsBos, modelType }: SideFiles): SpecialTokens {
  const isOpt = modelType === 'opt';
  const bos = roles.bos ?? (isOpt ? '</s>' : null);
  const named = [bos, roles.eos, roles.unk, roles.pad ?? (isOpt ? '<pad>' : null)];
  return { special: named.filter((token) => token !== null), prefix: addsBos ?? isOpt ? bos : null };
}

function createTokenizer({ json, hash }: StoredTokenizer, sideFiles: SideFiles, folder: string): Tokenizer {
  const library = startLibrary(json, folder);
  const codec = isByteLevel(json) ? createByteLevelCodec(json, library) : createLibraryCodec(library);
  const around = surroundingIds(library);
  const vocabSize = [...library.get_vocab().values()].reduce((largest, id) => Math.max(largest, id), -1) + 1;
  const special = new Set(json.added_tokens.filter((token) => token.special).map(({ id }) => id));
  const none = new Set<number>();
  const idOf = (token: string | null, fallback: number | null): number | null =>
    (token === null ? null : library.token_to_id(token)) ?? (fallback !== null && fallback < vocabSize ? fallback : null);
  return {
    vocabSize, hash,
    bosId: idOf(sideFiles.roles.bos, sideFiles.bosId),
    eosId: idOf(sideFiles.roles.eos, sideFiles.eosId),
    encode: (text, { addSpecialTokens } = { addSpecialTokens: true }) =>
      (addSpecialTokens ? [...around.before, ...codec.encode(text), ...around.after] : codec.encode(text)),
    decode: (ids, { skipSpecialTokens } = { skipSpecialTokens: true }) => codec.decode(ids, skipSpecialTokens ? special : none),
    decodeStream: () => codec.decodeStream(special),
  };
}

function startLibrary(json: TokenizerJson, folder: string): LibraryTokenizer {
  try {
    return new LibraryTokenizer(json, {});
  } catch (cause) {
    throw new FormatError(`${folder}: the tokenizer cannot be used: ${(cause as Error).message}`, { cause, suggestions: ['use a model whose tokenizer.json is of a common kind (byte-level BPE)'] });
  }
}

/** Stands for the text when the post-processor is asked what it puts around one. */
const TEXT_MARK = '\u0000text';

function surroundingIds(library: LibraryTokenizer): { readonly before: readonly number[]; readonly after: readonly number[] } {
  const tokens = library.post_processor?.post_process([TEXT_MARK], null, true).tokens ?? [TEXT_MARK];
  const at = tokens.indexOf(TEXT_MARK);
  const ids = (names: readonly string[]): number[] => names.map((name) => library.token_to_id(name)).filter((id) => id !== undefined);
  return { before: ids(tokens.slice(0, at)), after: ids(tokens.slice(at + 1)) };
}
