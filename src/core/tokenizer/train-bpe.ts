import { ConfigError } from '../errors.js';
import { BYTE_CHARACTERS } from './byte-alphabet.js';
import type { TokenizerJson } from './convert.js';
import { byteLevelTokenizerJson } from './convert.js';

/** GPT-2's pre-tokenisation (Radford et al., 2019): contractions, words, numbers and punctuation with the space before them, white space. */
const PRE_TOKEN = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

/** What a byte-pair tokenizer is trained to. */
export interface BytePairOptions {
  /** Special tokens, 256 bytes and merges together. */ readonly vocabSize: number;
  /** Get the first ids, in this order; the first marks the end of a text. */ readonly specialTokens: readonly string[];
}

/** A distinct pre-token of the text. */
interface Word {
  readonly count: number;
  /** Its current tokens, by id. */ ids: number[];
}

/** Pairs of adjacent tokens, with how often they occur and in which words they may. */
class PairCounts {
  private readonly counts = new Map<number, number>();
  private readonly places = new Map<number, Set<number>>();

  constructor(private readonly vocabSize: number) {}

  /** Adds `weight` occurrences of every pair of a word; negative to take them away. */
  add(word: { index: number; ids: readonly number[] }, weight: number): void {
    for (let i = 0; i + 1 < word.ids.length; i++) {
      const pair = (word.ids[i] as number) * this.vocabSize + (word.ids[i + 1] as number);
      this.counts.set(pair, (this.counts.get(pair) ?? 0) + weight);
      if (weight > 0) (this.places.get(pair) ?? this.places.set(pair, new Set()).get(pair))?.add(word.index);
    }
  }

  /** The most frequent pair; of equals the one with the smaller ids, so that the result does not depend on the order of the text. */
  best(): { left: number; right: number; words: ReadonlySet<number> } | null {
    let [best, most] = [-1, 1];
    for (const [pair, count] of this.counts) {
      if (count > most || (count === most && best >= 0 && pair < best)) [best, most] = [pair, count];
    }
    if (best < 0) return null;
    const words = this.places.get(best) ?? new Set();
    this.places.delete(best);
    this.counts.delete(best);
    return { left: Math.floor(best / this.vocabSize), right: best % this.vocabSize, words };
  }
}

/**
 * Trains a byte-level byte-pair tokenizer (Sennrich et al., 2016): starting from bytes, the most frequent adjacent pair within
 * pre-tokens becomes a token, until the vocabulary is full. Pairs that occur once are not merged. Deterministic.
 * @throws ConfigError when the vocabulary is too small for the bytes, or the text too small for the vocabulary.
 */
export function trainBytePairTokenizer(text: string, options: BytePairOptions): TokenizerJson {
  const { vocabSize, specialTokens } = options;
  const smallest = specialTokens.length + 256;
  if (vocabSize < smallest) throw new ConfigError(`a vocabulary of ${vocabSize} is too small: ${smallest} tokens are bytes and special tokens`);
  const tokens = [...specialTokens, ...BYTE_CHARACTERS];
  const words = countWords(text, specialTokens.length);
  const pairs = new PairCounts(vocabSize);
  words.forEach(({ ids, count }, index) => pairs.add({ index, ids }, count));
  const merges: string[] = [];
  while (tokens.length < vocabSize) {
    const best = pairs.best();
    if (best === null) {
      throw new ConfigError(`the text holds only ${tokens.length} tokens' worth of repeated pairs, tokenizer.vocabSize is ${vocabSize}`, {
        suggestions: [`--set tokenizer.vocabSize=${tokens.length}`, 'use more text'],
      });
    }
    const [left, right] = [tokens[best.left] as string, tokens[best.right] as string];
    merges.push(`${left} ${right}`);
    for (const index of best.words) mergeIn({ index, word: words[index] as Word }, { ...best, merged: tokens.length }, pairs);
    tokens.push(left + right);
  }
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  return byteLevelTokenizerJson(vocab, merges, { special: specialTokens, prefix: null });
}

function countWords(text: string, firstByteId: number): Word[] {
  const counts = new Map<string, number>();
  for (const [word] of text.matchAll(PRE_TOKEN)) counts.set(word, (counts.get(word) ?? 0) + 1);
  const encoder = new TextEncoder();
  return Array.from(counts, ([word, count]) => ({ count, ids: Array.from(encoder.encode(word), (byte) => byte + firstByteId) }));
}

function mergeIn(at: { index: number; word: Word }, merge: { left: number; right: number; merged: number }, pairs: PairCounts): void {
  const { word, index } = at;
  const ids: number[] = [];
  for (let i = 0; i < word.ids.length; i++) {
    const isPair = word.ids[i] === merge.left && word.ids[i + 1] === merge.right;
    ids.push(isPair ? merge.merged : (word.ids[i] as number));
    if (isPair) i++;
  }
  if (ids.length === word.ids.length) return;
  pairs.add({ index, ids: word.ids }, -word.count);
  word.ids = ids;
  pairs.add({ index, ids }, word.count);
}
