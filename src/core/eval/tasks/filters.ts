import { FormatError } from '../../errors.js';
import { kindOf, textOf } from './documents.js';
import { pythonCapitalize, pythonLstrip, pythonRstrip, pythonStrip } from './python-text.js';

/** What a filter gets beside the value: its argument, and how messages name the value. */
export interface FilterCall {
  readonly argument: unknown;
  readonly what: string;
}

export interface Filter {
  /** `none`; `field`: a field of the document or a literal; `key`: a bare word. */ readonly argument: 'none' | 'field' | 'key';
  apply(value: unknown, call: FilterCall): unknown;
}

const ofText = (change: (text: string) => string): Filter => ({ argument: 'none', apply: (value, { what }) => change(textOf(value, what)) });

function listOf(value: unknown, what: string): readonly unknown[] {
  if (Array.isArray(value)) return value as readonly unknown[];
  throw new FormatError(`${what} must be a list, found ${kindOf(value)}`);
}

/** A whole number, also one written as text. */
export function wholeNumberOf(value: unknown, what: string): number {
  const number = typeof value === 'string' && /^[+-]?\d+$/.test(value.trim()) ? Number(value) : typeof value === 'boolean' ? Number(value) : value;
  if (Number.isSafeInteger(number)) return number as number;
  throw new FormatError(`${what} must be a whole number, found ${kindOf(value)}`);
}

function indexOf(value: unknown, { argument, what }: FilterCall): number {
  const index = listOf(value, what).indexOf(argument);
  if (index >= 0) return index;
  throw new FormatError(`${what} is looked up as ${kindOf(argument)}, which is not among ${JSON.stringify(value)}`);
}

/** The filters of the template language; docs/tasks.md lists them. */
export const FILTERS: Readonly<Record<string, Filter>> = {
  strip: ofText(pythonStrip),
  lstrip: ofText(pythonLstrip),
  rstrip: ofText(pythonRstrip),
  capitalize: ofText(pythonCapitalize),
  lower_first: ofText((text) => { const [first = ''] = text; return first.toLowerCase() + text.slice(first.length); }),
  drop_last: ofText((text) => [...text].slice(0, -1).join('')),
  before_last_word: ofText((text) => text.split(' ').slice(0, -1).join(' ')),
  last_word: ofText((text) => text.split(' ').at(-1)!),
  number: { argument: 'none', apply: (value, { what }) => wholeNumberOf(value, what) },
  minus: { argument: 'field', apply: (value, { argument, what }) => wholeNumberOf(value, what) - wholeNumberOf(argument, what) },
  index_of: { argument: 'field', apply: indexOf },
  each: {
    argument: 'key',
    apply: (value, { argument, what }) => listOf(value, what).map((member, i) => {
      const found = typeof member === 'object' && member !== null && Object.hasOwn(member, argument as string) ? (member as Record<string, unknown>)[argument as string] : undefined;
      if (found === undefined) throw new FormatError(`${what}: member ${i + 1} has no ${String(argument)}`);
      return found;
    }),
  },
};
