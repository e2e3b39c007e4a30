/** Bytes that byte-level tokenizers write as the character of the same number; the others take the characters from U+0100 on, in order. */
const PRINTABLE: readonly (readonly [first: number, last: number])[] = [[0x21, 0x7e], [0xa1, 0xac], [0xae, 0xff]];

/** (256) The printable character that stands for each byte in a byte-level vocabulary, as introduced with GPT-2. */
export const BYTE_CHARACTERS: readonly string[] = buildAlphabet();

/** Byte of each character of {@link BYTE_CHARACTERS}. */
const CHARACTER_BYTES: ReadonlyMap<string, number> = new Map(BYTE_CHARACTERS.map((character, byte) => [character, byte]));

const encoder = new TextEncoder();

/** Writes a text's UTF-8 bytes in the byte alphabet: `é` becomes `Ã©`, a space `Ġ`. */
export function toByteCharacters(text: string): string {
  let written = '';
  for (const byte of encoder.encode(text)) written += BYTE_CHARACTERS[byte];
  return written;
}

/** Bytes of a vocabulary entry; an entry with a character outside the byte alphabet stands for its own UTF-8 bytes. */
export function bytesOfToken(token: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of token) {
    const byte = CHARACTER_BYTES.get(character);
    if (byte === undefined) return encoder.encode(token);
    bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

function buildAlphabet(): readonly string[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const isPrintable = PRINTABLE.some(([first, last]) => byte >= first && byte <= last);
    return String.fromCodePoint(isPrintable ? byte : next++);
  });
}
