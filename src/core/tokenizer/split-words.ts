/**
 * GPT-2's split (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2): English contractions, then runs of letters,
 * digits or other marks with the space before them, then white space without the space that belongs to the next word. White space is Unicode's
 * property, as in the reference implementations; JavaScript's `\s` differs from it in U+0085 and U+FEFF.
 */
const WORD = /'(?:[stmd]|re|ve|ll)| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

/** Length after which a piece may end, UTF-16 units: keeps the list of matches short. */
const PIECE_UNITS = 1 << 16;

/**
 * Splits a text into the words that byte-pair merges never cross. Every character is in exactly one word.
 * @param visit hears each word in order.
 */
export function forEachWord(text: string, visit: (word: string) => void): void {
  for (let at = 0; at < text.length; ) {
    const end = pieceEnd(text, at);
    for (const word of text.slice(at, end).match(WORD) ?? []) visit(word);
    at = end;
  }
}

/**
 * End of the next piece. A piece ends after a line break that stands alone between two characters that are no white space: a word always ends there, so
 * the words of the pieces are the words of the text.
 */
function pieceEnd(text: string, at: number): number {
  if (text.length - at <= PIECE_UNITS) return text.length;
  const boundary = /\P{White_Space}\n(?=\P{White_Space})/gu;
  boundary.lastIndex = at + PIECE_UNITS;
  return boundary.exec(text) === null ? text.length : boundary.lastIndex;
}
