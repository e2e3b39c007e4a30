import { createHash } from 'node:crypto';

import { FormatError } from '../errors.js';
import type { JsonObject } from './format.js';

/** A document as text with the SHA-256 of its own JSON, so that a flipped digit is noticed. */
export function formatDigested(document: object): string {
  return `${JSON.stringify({ ...document, digest: digestOf(document) }, null, 2)}\n`;
}

/** What a digested document must be. */
export interface DigestedKind {
  /** For messages, e.g. `checkpoint`. */ readonly what: string;
  /** Value of its key `format`. */ readonly format: number;
}

/** Reads what `formatDigested` wrote. @throws FormatError naming the file when it is damaged, of another version or not complete. */
export function parseDigested(text: string, file: string, { what, format }: DigestedKind): JsonObject {
  const { digest, ...document } = parseObject(text, file);
  if (document['format'] !== format) {
    throw new FormatError(`${file}: ${what} format ${String(document['format'])} found, ${format} expected: it was written by another version of bispik`);
  }
  if (digest !== digestOf(document)) throw new FormatError(`${file}: its contents do not match the digest they were written with: damaged or edited`);
  return document;
}

function parseObject(text: string, file: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (cause) {
    throw new FormatError(`${file} is not valid JSON: cut short or damaged`, { cause });
  }
  throw new FormatError(`${file}: a JSON object expected`);
}

function digestOf(document: unknown): string {
  return createHash('sha256').update(JSON.stringify(document)).digest('hex');
}
