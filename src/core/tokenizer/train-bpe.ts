import { ConfigError } from '../errors.js';
import { BYTE_CHARACTERS } from './byte-alphabet.js';
import { byteLevelTokenizerJson } from './convert.js';
import { mergePairs } from './merge-pairs.js';
import { forEachWord } from './split-words.js';
import type { TokenizerJson } from './tokenizer-json.js';

/** What to train. */
export interface TrainBytePairOptions {
  /** Special tokens, the 256 bytes and merges together. */ readonly vocabSize: number;
  /** They take the first ids; where the text names one, words end there and it is not counted. */ readonly specialTokens: readonly string[];
}

/** Ids above this would not fit the pair keys of {@link mergePairs}. */
const MAX_VOCAB = 65_536;

/**
 * Trains a byte-level byte-pair tokenizer (Sennrich et al. 2016, algorithm 1, over bytes): again and again the most frequent pair of neighbours within
 * words becomes a token; pairs that occur once are not merged. Ids: special tokens, bytes in the order of their characters, then merges as they were made; of equally frequent pairs the one
 * with the smaller ids first, as Hugging Face's trainer does. The same text gives the same tokenizer.
 * @throws ConfigError when the vocabulary cannot hold the bytes and special tokens, is over 65,536, or is more than the text gives.
 */
export function trainBytePairTokenizer(text: string, options: TrainBytePairOptions): TokenizerJson {
  const specialTokens = [...new Set(options.specialTokens)];
  requireRoom(options.vocabSize, specialTokens);
  const tokens = [...specialTokens, ...BYTE_CHARACTERS.toSorted()];
  const idOfByte = BYTE_CHARACTERS.map((character) => tokens.indexOf(character, specialTokens.length));
  const words = countWords(text, specialTokens, idOfByte);
  const merges = mergePairs(words, tokens, options.vocabSize);
  if (tokens.length < options.vocabSize) {
    throw new ConfigError(`the text repeats too little: it gives ${tokens.length} tokens, tokenizer.vocabSize is ${options.vocabSize}`, {
      suggestions: ['use more text', `--set tokenizer.vocabSize=${tokens.length}`],
    });
  }
  return byteLevelTokenizerJson(Object.fromEntries(tokens.map((token, id) => [token, id])), merges, { special: specialTokens, prefix: null });
}

/** A word that occurs in the text. */
export interface CountedWord {
  /** Ids of its bytes, later of its merged parts. */ ids: number[];
  readonly count: number;
}

function requireRoom(vocabSize: number, specialTokens: readonly string[]): void {
  const least = BYTE_CHARACTERS.length + specialTokens.length;
  if (!Number.isInteger(vocabSize) || vocabSize < least || vocabSize > MAX_VOCAB) {
    throw new ConfigError(`tokenizer.vocabSize is ${vocabSize}; a byte-pair vocabulary needs ${least} (256 bytes and ${specialTokens.length} special tokens) to ${MAX_VOCAB}`, {
      suggestions: [`--set tokenizer.vocabSize=${Math.max(least, 512)}`],
    });
  }
}

function countWords(text: string, specialTokens: readonly string[], idOfByte: readonly number[]): CountedWord[] {
  const counts = new Map<string, number>();
  const countPart = (part: string): void => forEachWord(part, (word) => counts.set(word, (counts.get(word) ?? 0) + 1));
  splitAt(text, specialTokens).forEach(countPart);
  const encoder = new TextEncoder();
  return Array.from(counts, ([word, count]) => ({ ids: Array.from(encoder.encode(word), (byte) => idOfByte[byte] as number), count }));
}

function splitAt(text: string, marks: readonly string[]): readonly string[] {
  const longestFirst = marks.toSorted((a, b) => b.length - a.length);
  return longestFirst.reduce<readonly string[]>((parts, mark) => parts.flatMap((part) => part.split(mark)), [text]);
}
