import { BYTE_CHARACTERS } from '../../src/core/tokenizer/byte-alphabet.js';

/** Id of a byte in {@link tinyVocabulary}. */
export const FIRST_BYTE_ID = 4;

/** Merges after which `low lower` is `low`, ` low`, `er`. */
export const TINY_MERGES = ['l o', 'lo w', 'e r', 'Ġ low'];

/** OPT's layout in small: `<s>` 0, `<pad>` 1, `</s>` 2, `<unk>` 3, byte b at 4 + b, then `lo` 260, `low` 261, `er` 262, ` low` 263. */
export function tinyVocabulary(): Record<string, number> {
  const tokens = ['<s>', '<pad>', '</s>', '<unk>', ...BYTE_CHARACTERS, ...TINY_MERGES.map((merge) => merge.replace(' ', ''))];
  return Object.fromEntries(tokens.map((token, id) => [token, id]));
}

/** The merges as merges.txt holds them. */
export function tinyMergesText(): string {
  return `#version: 0.2\n${TINY_MERGES.join('\n')}\n`;
}
