import { FormatError } from '../../errors.js';

/** One row of a task's file: an untrusted JSON-like object. */
export type Row = Readonly<Record<string, unknown>>;

/** A row and where it stands, e.g. `arc.jsonl:12`. */
export interface TaskDocument {
  readonly row: Row;
  readonly place: string;
}

/** The value at a path of keys (or list positions), own keys only; undefined where there is none. */
export function fieldAt(row: Row, path: readonly string[]): unknown {
  let value: unknown = row;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<string, unknown>)[key];
  }
  return value;
}

/** The value at a path. @throws FormatError naming the place, the field and the fields that are there. */
export function requiredField({ row, place }: TaskDocument, path: readonly string[]): unknown {
  const value = fieldAt(row, path);
  if (value !== undefined && value !== null) return value;
  throw new FormatError(`${place} has ${value === null ? 'null as' : 'no'} field ${path.join('.')}; its fields are ${Object.keys(row).join(', ') || 'none'}`, {
    suggestions: [`Add ${path.join('.')} to the item, or leave the item out`, 'Name other items with --data-path FOLDER, or the right field in the task file (--include-path)'],
  });
}

/** A value that must be text. @throws FormatError naming place and field. */
export function textOf(value: unknown, what: string): string {
  if (typeof value === 'string') return value;
  throw new FormatError(`${what} must be text, found ${kindOf(value)}`);
}

/** `a list`, `the number 3` … as messages name a value. */
export function kindOf(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return `a list of ${value.length}`;
  return typeof value === 'object' ? 'an object' : `the ${typeof value} ${JSON.stringify(value).slice(0, 60)}`;
}
