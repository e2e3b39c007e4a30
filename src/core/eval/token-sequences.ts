import { readFile } from 'node:fs/promises';

import { FormatError, ShapeError } from '../errors.js';
import type { TokenIds } from '../types.js';

/** What text evaluation needs of a tokenizer. */
export interface TextEncoder {
  encode(text: string, options: { readonly addSpecialTokens: boolean }): readonly number[];
}

/**
 * A text as one sequence: the tokenizer's encoding with the special tokens it adds itself. A prefix such as OPT's `</s>` is
 * the first id and so only context; without one the first token of the text is not scored.
 */
export function encodeText(text: string, tokenizer: TextEncoder): readonly Int32Array[] {
  return [Int32Array.from(tokenizer.encode(text, { addSpecialTokens: true }))];
}

function parseLine(line: string, place: string): Int32Array {
  let ids: unknown;
  try {
    ids = JSON.parse(line);
  } catch (cause) {
    throw new FormatError(`${place} is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause, suggestions: ['One JSON array of token ids a line, e.g. [2, 133, 812]'],
    });
  }
  if (!Array.isArray(ids)) throw new FormatError(`${place} is ${ids === null ? 'null' : `of type ${typeof ids}`}, expected an array of token ids`);
  ids.forEach((id: unknown, i) => {
    if (!Number.isInteger(id) || (id as number) < 0 || (id as number) > 0x7fff_ffff) {
      throw new FormatError(`${place}: entry ${i} is ${JSON.stringify(id)}, expected a token id (a whole number from 0)`);
    }
  });
  return Int32Array.from(ids as number[]);
}

/**
 * Reads token ids, one JSON array a line; each line is its own sequence. Blank lines are skipped.
 * @throws FormatError naming the line and the entry, and when the file cannot be read or holds no sequence.
 */
export async function readTokenSequences(path: string): Promise<readonly Int32Array[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new FormatError(`${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  const sequences = text.split('\n').flatMap((line, index) => (line.trim() === '' ? [] : [parseLine(line, `${path}, line ${index + 1}`)]));
  if (sequences.length === 0) throw new FormatError(`${path} holds no token sequence`, { suggestions: ['One JSON array of token ids a line'] });
  return sequences;
}

/** @throws ShapeError naming the sequence, the place, the id and the vocabulary. */
export function checkVocabulary(sequences: readonly TokenIds[], vocabSize: number): void {
  sequences.forEach((ids, s) => {
    const place = ids.findIndex((id: number) => id < 0 || id >= vocabSize);
    if (place >= 0) {
      throw new ShapeError(`sequence ${s + 1}, token ${place + 1} is the id ${ids[place]}, outside the model's vocabulary of ${vocabSize}`, {
        suggestions: ['Encode the text with the tokenizer of this model'],
      });
    }
  });
}
