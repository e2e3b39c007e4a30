import { FormatError } from '../errors.js';
import { BYTE_CHARACTERS } from './byte-alphabet.js';
import type { TokenizerJson } from './tokenizer-json.js';

/** What a vocabulary and its merges do not say. */
export interface SpecialTokens {
  /** Tokens of the vocabulary that a text may name, e.g. `</s>` and `<pad>`. */ readonly special: readonly string[];
  /** Put before every text, as OPT's own tokenizer does with `</s>`; null for GPT-2. */ readonly prefix: string | null;
}

/**
 * Puts a byte-level byte-pair model into the layout of GPT-2's own `tokenizer.json`.
 * @param merges `left right`, the most urgent first.
 * @throws FormatError when a special token is not in the vocabulary.
 */
export function byteLevelTokenizerJson(vocab: Readonly<Record<string, number>>, merges: readonly string[], tokens: SpecialTokens): TokenizerJson {
  const idOf = (token: string): number => {
    const id = Object.hasOwn(vocab, token) ? vocab[token] : undefined;
    if (id === undefined) throw new FormatError(`the special token ${token} is not in the vocabulary`, { suggestions: ['check that tokenizer_config.json and vocab.json belong together'] });
    return id;
  };
  const special = [...new Set(tokens.special)].map((content) => ({ id: idOf(content), content })).sort((a, b) => a.id - b.id);
  return {
    version: '1.0', truncation: null, padding: null,
    added_tokens: special.map((token) => ({ ...token, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true })),
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: tokens.prefix === null
      ? { type: 'ByteLevel', add_prefix_space: true, trim_offsets: false, use_regex: true }
      : prefixTemplate(tokens.prefix, idOf(tokens.prefix)),
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: '', end_of_word_suffix: '', fuse_unk: false, byte_fallback: false,
      vocab, merges,
    },
  };
}

/** A post-processor that puts one token before a text, or before the first of two. */
function prefixTemplate(token: string, id: number): { type: string } & Record<string, unknown> {
  const special = { SpecialToken: { id: token, type_id: 0 } };
  const sequence = (name: 'A' | 'B', type_id: number) => ({ Sequence: { id: name, type_id } });
  return {
    type: 'TemplateProcessing', single: [special, sequence('A', 0)], pair: [special, sequence('A', 0), sequence('B', 1)],
    special_tokens: { [token]: { id: token, ids: [id], tokens: [token] } },
  };
}

/**
 * Makes an equal `tokenizer.json` of GPT-2's `vocab.json` (parsed) and `merges.txt`.
 * @throws FormatError naming the entry, line or special token that does not fit.
 */
export function convertGpt2Tokenizer(vocabJson: unknown, mergesText: string, tokens: SpecialTokens): TokenizerJson {
  const vocab = readVocabulary(vocabJson);
  return byteLevelTokenizerJson(Object.fromEntries(vocab), readMerges(mergesText, vocab), tokens);
}

function readVocabulary(json: unknown): ReadonlyMap<string, number> {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw new FormatError('vocab.json is not an object of tokens and ids');
  const vocab = new Map<string, number>();
  const tokenOfId = new Map<number, string>();
  for (const [token, id] of Object.entries(json as Record<string, unknown>)) {
    if (typeof id !== 'number' || !Number.isSafeInteger(id) || id < 0) throw new FormatError(`vocab.json: the id of ${JSON.stringify(token)} is ${JSON.stringify(id)}, a whole number from 0 expected`);
    const other = tokenOfId.get(id);
    if (other !== undefined) throw new FormatError(`vocab.json: ${JSON.stringify(other)} and ${JSON.stringify(token)} have the same id ${id}`);
    tokenOfId.set(id, token);
    vocab.set(token, id);
  }
  const missing = BYTE_CHARACTERS.findIndex((character) => !vocab.has(character));
  if (missing >= 0) throw new FormatError(`vocab.json has no token for byte ${missing} (${JSON.stringify(BYTE_CHARACTERS[missing])}): it is not a byte-level vocabulary, or cut short`);
  return vocab;
}

function readMerges(text: string, vocab: ReadonlyMap<string, number>): readonly string[] {
  const merges: string[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line === '' || (index === 0 && line.startsWith('#version'))) continue;
    const [left, right, ...more] = line.split(' ');
    if (left === undefined || right === undefined || left === '' || right === '' || more.length > 0) {
      throw new FormatError(`merges.txt line ${index + 1}: ${JSON.stringify(line)}, two tokens with a space between them expected`);
    }
    const unknown = [left, right, left + right].find((token) => !vocab.has(token));
    if (unknown !== undefined) throw new FormatError(`merges.txt line ${index + 1}: ${JSON.stringify(unknown)} is not in vocab.json`, { suggestions: ['check that both files come from the same model'] });
    merges.push(line);
  }
  return merges;
}
