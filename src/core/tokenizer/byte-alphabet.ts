/**
 * The printable character that stands for each byte in GPT-2's byte-level vocabularies (Radford et al., 2019): printable
 * Latin-1 bytes stand for themselves, the others for the characters from U+0100 on, in order.
 */
export const BYTE_CHARACTERS: readonly string[] = buildAlphabet();

function buildAlphabet(): string[] {
  const isPlain = (byte: number): boolean => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPlain(byte) ? byte : next++));
}
