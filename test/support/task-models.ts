import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { loadTokenizer } from '../../src/core/tokenizer/load.js';
import type { Tokenizer } from '../../src/core/tokenizer/load.js';
import { fakeLanguageModel } from './fake-language-model.js';
import type { FakeLanguageModel } from './fake-language-model.js';
import { tinyMergesText, tinyVocabulary } from './tiny-tokenizer.js';

/** Ids of {@link writeTinyTokenizer}'s tokenizer. */
export const TINY_VOCABULARY = 264;

/** Puts OPT's tokenizer in small into a folder: bytes, `lo`, `low`, `er`, ` low`, and `</s>` before every text. */
export async function writeTinyTokenizer(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, 'vocab.json'), JSON.stringify(tinyVocabulary()));
  await writeFile(path.join(folder, 'merges.txt'), tinyMergesText());
  await writeFile(path.join(folder, 'tokenizer_config.json'), JSON.stringify({ bos_token: '</s>', eos_token: '</s>', add_bos_token: true }));
}

export async function tinyTokenizer(folder: string): Promise<Tokenizer> {
  await writeTinyTokenizer(folder);
  return loadTokenizer(folder);
}

/** A model whose every logit depends on every token before it and on how many there are. */
export function mixingLanguageModel(seed: number, contextLength: number, kind: 'student' | 'teacher' = 'teacher'): FakeLanguageModel {
  const next = (prefix: readonly number[]): Float32Array => {
    let hash = seed;
    for (const id of prefix) hash = (Math.imul(hash ^ id, 0x9e3779b1) + prefix.length) >>> 0;
    return Float32Array.from({ length: TINY_VOCABULARY }, (_, id) => {
      const mixed = Math.imul(hash ^ Math.imul(id + 1, 0x85ebca6b), 0xc2b2ae35) >>> 8;
      return (mixed / 2 ** 24) * 4 - 2;
    });
  };
  return fakeLanguageModel({ kind, next, shape: { vocabSize: TINY_VOCABULARY, contextLength } });
}
