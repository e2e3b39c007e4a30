import type { CountedWord } from './train-bpe.js';
import { createMaxHeap } from './pair-heap.js';

/** How often two neighbours occur, and in which words they ever did. */
interface PairRecord {
  count: number;
  readonly wordIndices: number[];
}

/** Pairs are keyed by `left · 65536 + right`: ordered by left id, then by right id. */
const KEY_BASE = 65_536;

/** A pair that occurs once saves nothing when the tokenizer is used on other text. */
const LEAST_COUNT = 2;

/**
 * Merges the most frequent pair until the vocabulary is full or no pair occurs twice. Counts are kept up to date by recounting only the words the merged pair
 * occurs in.
 * @param words are changed: their ids become the merged ones.
 * @param tokens are appended to: the text of each new id.
 * @returns the merges as `left right`, in the order they were made.
 */
export function mergePairs(words: CountedWord[], tokens: string[], vocabSize: number): string[] {
  const idOfToken = new Map(tokens.map((token, id) => [token, id]));
  const pairs = countPairs(words);
  const heap = createMaxHeap(Array.from(pairs, ([key, { count }]) => ({ key, count })));
  const merges: string[] = [];
  while (tokens.length < vocabSize) {
    const top = heap.pop();
    if (top === undefined || top.count < LEAST_COUNT) break;
    const record = pairs.get(top.key) as PairRecord;
    if (record.count !== top.count) {
      if (record.count >= LEAST_COUNT) heap.push({ key: top.key, count: record.count });
      continue;
    }
    const [left, right] = [Math.floor(top.key / KEY_BASE), top.key % KEY_BASE];
    const merged = `${tokens[left]}${tokens[right]}`;
    // Two ways to the same text share one id; both merges are needed to reach it.
    const known = idOfToken.get(merged);
    const id = known ?? tokens.push(merged) - 1;
    idOfToken.set(merged, id);
    merges.push(`${tokens[left]} ${tokens[right]}`);
    for (const { key, count } of applyMerge({ left, right, id, record, words, pairs })) heap.push({ key, count });
  }
  return merges;
}

function countPairs(words: readonly CountedWord[]): Map<number, PairRecord> {
  const pairs = new Map<number, PairRecord>();
  words.forEach((word, index) => addPairs(pairs, word, { index, sign: 1 }));
  return pairs;
}

/** Adds or takes away a word's pairs. @returns nothing; a word is listed once per pair and pass. */
function addPairs(pairs: Map<number, PairRecord>, { ids, count }: CountedWord, { index, sign }: { index: number; sign: 1 | -1 }): void {
  for (let i = 1; i < ids.length; i++) {
    const key = (ids[i - 1] as number) * KEY_BASE + (ids[i] as number);
    let record = pairs.get(key);
    if (record === undefined) pairs.set(key, record = { count: 0, wordIndices: [] });
    record.count += sign * count;
    if (sign > 0 && record.wordIndices.at(-1) !== index) record.wordIndices.push(index);
  }
}

interface Merge {
  readonly left: number;
  readonly right: number;
  readonly id: number;
  readonly record: PairRecord;
  readonly words: CountedWord[];
  readonly pairs: Map<number, PairRecord>;
}

/** Rewrites every word that holds the pair. @returns the pairs that have become more frequent, with their counts. */
function applyMerge({ left, right, id, record, words, pairs }: Merge): readonly { key: number; count: number }[] {
  const touched = new Set<number>();
  for (const index of new Set(record.wordIndices)) {
    const word = words[index] as CountedWord;
    const ids = replacePair(word.ids, { left, right, id });
    if (ids.length === word.ids.length) continue;
    addPairs(pairs, word, { index, sign: -1 });
    word.ids = ids;
    addPairs(pairs, word, { index, sign: 1 });
    ids.forEach((own, i) => {
      if (own !== id) return;
      if (i > 0) touched.add((ids[i - 1] as number) * KEY_BASE + id);
      if (i + 1 < ids.length) touched.add(id * KEY_BASE + (ids[i + 1] as number));
    });
  }
  return Array.from(touched, (key) => ({ key, count: (pairs.get(key) as PairRecord).count }));
}

/** Replaces the pair from left to right; overlapping occurrences are taken first come, first served. */
function replacePair(ids: readonly number[], { left, right, id }: { left: number; right: number; id: number }): number[] {
  const replaced: number[] = [];
  for (let i = 0; i < ids.length; i++) {
    const isPair = ids[i] === left && ids[i + 1] === right;
    replaced.push(isPair ? id : (ids[i] as number));
    if (isPair) i++;
  }
  return replaced;
}
