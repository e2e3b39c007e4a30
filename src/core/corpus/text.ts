import { constants as bufferLimits } from 'node:buffer';
import { open } from 'node:fs/promises';
import { ConfigError, FormatError } from '../errors.js';

/** A corpus in its two parts. */
export interface TextSplit {
  readonly train: string;
  readonly valid: string;
}

/** Least and greatest second byte after each lead byte of a well-formed UTF-8 sequence, and the sequence's length (Unicode 15, table 3-7). */
function leadByte(byte: number): { length: number; least: number; greatest: number } | null {
  if (byte < 0x80) return { length: 1, least: 0, greatest: 0 };
  if (byte < 0xc2 || byte > 0xf4) return null;
  if (byte < 0xe0) return { length: 2, least: 0x80, greatest: 0xbf };
  if (byte < 0xf0) return { length: 3, least: byte === 0xe0 ? 0xa0 : 0x80, greatest: byte === 0xed ? 0x9f : 0xbf };
  return { length: 4, least: byte === 0xf0 ? 0x90 : 0x80, greatest: byte === 0xf4 ? 0x8f : 0xbf };
}

/** Offset of the first byte that begins no well-formed UTF-8 sequence, or −1 when all bytes are well formed. */
export function findInvalidUtf8(bytes: Uint8Array): number {
  let at = 0;
  while (at < bytes.length) {
    const lead = leadByte(bytes[at] as number);
    if (lead === null) return at;
    for (let step = 1; step < lead.length; step++) {
      const byte = bytes[at + step] ?? 0;
      const [least, greatest] = step === 1 ? [lead.least, lead.greatest] : [0x80, 0xbf];
      if (byte < least || byte > greatest) return at;
    }
    at += lead.length;
  }
  return -1;
}

/** Bytes decoded strictly; a byte order mark at the start is dropped. @param name what to call the bytes in an error. @throws FormatError naming the first bad byte. */
export function decodeUtf8(bytes: Uint8Array, name: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    const offset = findInvalidUtf8(bytes);
    if (offset < 0) throw cause;
    const byte = (bytes[offset] as number).toString(16).padStart(2, '0');
    throw new FormatError(`${name} is not valid UTF-8: byte 0x${byte} at offset ${offset} begins no character`, {
      cause,
      suggestions: [`find its encoding with: file ${name}`, `convert it, e.g.: iconv -f latin1 -t utf-8 ${name} > ${name}.utf8`],
    });
  }
}

/** The largest cut ≤ limit that does not fall inside a character of well-formed UTF-8. */
function characterCut(bytes: Uint8Array, limit: number): number {
  let cut = limit;
  while (cut > 0 && limit - cut < 3 && ((bytes[cut] as number) & 0xc0) === 0x80) cut--;
  return cut;
}

/** The first bytes of a file, at most `limit`. @throws FormatError when it cannot be read. */
async function readBytes(path: string, limit: number): Promise<Uint8Array> {
  let file;
  try {
    file = await open(path, 'r');
    const { size } = await file.stat();
    const bytes = new Uint8Array(Math.min(size, limit));
    let filled = 0;
    while (filled < bytes.length) {
      const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return bytes.subarray(0, filled);
  } catch (cause) {
    throw new FormatError(`cannot read the corpus ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
      suggestions: ['check corpus.train and corpus.valid, or the path after --data'],
    });
  } finally {
    await file?.close();
  }
}

/**
 * Reads a text file as strict UTF-8. With `maxBytes`, only the start of the file is read, cut at the last character that fits; bytes after it are not looked at.
 * @throws FormatError when the file cannot be read, is empty, or has an invalid byte (its offset is named); ConfigError when it is too long for one string.
 */
export async function readCorpusText(path: string, maxBytes: number | null = null): Promise<string> {
  if (maxBytes !== null && (!Number.isInteger(maxBytes) || maxBytes < 1)) throw new ConfigError(`corpus.maxBytes must be a whole number of bytes, at least 1, or null; found ${maxBytes}`);
  // One byte past the limit is read, to see whether the cut falls inside a character.
  const longest = bufferLimits.MAX_STRING_LENGTH;
  const limit = Math.min(maxBytes ?? longest, longest);
  const bytes = await readBytes(path, limit + 1);
  if (maxBytes === null && bytes.length > limit) {
    throw new ConfigError(`${path} has more than ${limit} bytes, too many for one text`, { suggestions: [`read a part of it: --set corpus.maxBytes=${2 ** 28}`] });
  }
  const text = decodeUtf8(bytes.length > limit ? bytes.subarray(0, characterCut(bytes, limit)) : bytes, path);
  if (text.trim() === '') throw new FormatError(`the corpus ${path} is empty: ${bytes.length === 0 ? 'the file has no bytes' : 'it holds nothing but white space'}`, { suggestions: ['name a file with text in it'] });
  return text;
}

/**
 * Splits a text by position: the last `validFraction` of its UTF-16 units validate, the rest trains; a cut inside a surrogate pair moves before it.
 * @throws ConfigError when the fraction is not inside (0, 1) or leaves a part empty.
 */
export function splitText(text: string, validFraction: number): TextSplit {
  if (!(validFraction > 0 && validFraction < 1)) throw new ConfigError(`corpus.validFraction must lie between 0 and 1, exclusive; found ${validFraction}`);
  let cut = Math.floor(text.length * (1 - validFraction));
  if (isInsidePair(text, cut)) cut--;
  if (cut === 0 || cut === text.length) {
    throw new ConfigError(`a text of ${text.length} characters cannot be split with corpus.validFraction ${validFraction}: one part would be empty`, { suggestions: ['use more text'] });
  }
  return { train: text.slice(0, cut), valid: text.slice(cut) };
}

function isInsidePair(text: string, cut: number): boolean {
  const before = text.charCodeAt(cut - 1);
  const after = text.charCodeAt(cut);
  return before >= 0xd800 && before <= 0xdbff && after >= 0xdc00 && after <= 0xdfff;
}
