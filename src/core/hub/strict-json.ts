import { FormatError } from '../errors.js';

/** A parsed value; objects are Maps, so no key (`__proto__` included) can touch a prototype. */
export type StrictJson = null | boolean | number | string | readonly StrictJson[] | StrictJsonObject;
export type StrictJsonObject = ReadonlyMap<string, StrictJson>;

/** Weight-file headers nest three deep; sixteen leaves room and keeps the recursion far from the stack's end. */
const MAX_DEPTH = 16;

/**
 * Parses JSON from an untrusted file: unlike `JSON.parse` it refuses a key given twice and deep nesting.
 * @param what how errors name the text, e.g. `model.safetensors: header`.
 * @throws FormatError with the byte offset of what is wrong.
 */
export function parseStrictJson(bytes: Uint8Array, what: string): StrictJson {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new FormatError(`${what} is not valid UTF-8`, { cause });
  }
  return new StrictJsonParser(text, what).parse();
}

/** `object`, `array`, `string` … as a message names a value. */
export function jsonKind(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return value instanceof Map ? 'object' : typeof value;
}

const LITERAL = /true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const SPACE = /[ \t\r\n]*/y;

class StrictJsonParser {
  private at = 0;

  constructor(private readonly text: string, private readonly what: string) {}

  parse(): StrictJson {
    const value = this.value(0);
    this.skipSpace();
    if (this.at < this.text.length) this.fail('text follows the end of the value');
    return value;
  }

  private value(depth: number): StrictJson {
    if (depth > MAX_DEPTH) this.fail(`nested more than ${MAX_DEPTH} deep`);
    this.skipSpace();
    const next = this.text[this.at];
    if (next === '{') return this.object(depth);
    if (next === '[') return this.array(depth);
    if (next === '"') return this.string();
    const literal = this.match(LITERAL);
    if (literal === null) this.fail(next === undefined ? 'the text ends here' : `unexpected ${JSON.stringify(next)}`);
    return JSON.parse(literal) as StrictJson;
  }

  private object(depth: number): StrictJsonObject {
    const entries = new Map<string, StrictJson>();
    this.at += 1;
    if (this.take('}')) return entries;
    do {
      this.skipSpace();
      const key = this.string();
      if (entries.has(key)) throw new FormatError(`${this.what}: ${key} is defined twice (byte ${this.byteOffset()})`);
      if (!this.take(':')) this.fail('":" expected');
      entries.set(key, this.value(depth + 1));
    } while (this.take(','));
    if (!this.take('}')) this.fail('"," or "}" expected');
    return entries;
  }

  private array(depth: number): readonly StrictJson[] {
    const items: StrictJson[] = [];
    this.at += 1;
    if (this.take(']')) return items;
    do items.push(this.value(depth + 1));
    while (this.take(','));
    if (!this.take(']')) this.fail('"," or "]" expected');
    return items;
  }

  private string(): string {
    if (this.text[this.at] !== '"') this.fail('string expected');
    let end = this.at + 1;
    while (end < this.text.length && this.text[end] !== '"') end += this.text[end] === '\\' ? 2 : 1;
    if (end >= this.text.length) this.fail('string without an end');
    try {
      const value = JSON.parse(this.text.slice(this.at, end + 1)) as string;
      this.at = end + 1;
      return value;
    } catch {
      return this.fail('string with a raw control character or an unknown escape');
    }
  }

  private skipSpace(): void {
    this.match(SPACE);
  }

  private take(mark: string): boolean {
    this.skipSpace();
    if (this.text[this.at] !== mark) return false;
    this.at += 1;
    return true;
  }

  private match(pattern: RegExp): string | null {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0] ?? null;
    if (found !== null) this.at = pattern.lastIndex;
    return found;
  }

  private byteOffset(): number {
    return new TextEncoder().encode(this.text.slice(0, this.at)).length;
  }

  private fail(reason: string): never {
    throw new FormatError(`${this.what} is not valid JSON at byte ${this.byteOffset()}: ${reason}`);
  }
}
