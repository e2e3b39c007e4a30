import { LineCounter, isMap, isNode, isPair, isScalar, parse, parseDocument } from 'yaml';
import type { Document } from 'yaml';

import { ConfigError, UsageError } from '../errors.js';

/** A JSON-like object, as YAML gives it. */
export type PlainObject = { readonly [key: string]: unknown };
export type KeyPath = readonly (string | number)[];

/** Values from one place, and how that place is called in messages. */
export interface ConfigLayer {
  readonly values: PlainObject;
  /** E.g. `configs/a.yaml:12` or `--set train.steps=x`; null when this layer does not set the key. */
  placeOf(path: KeyPath): string | null;
}

export const isPlainObject = (value: unknown): value is PlainObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The value at a path, or undefined; looks at own keys only. */
export function valueAt(values: unknown, path: KeyPath): unknown {
  let current = values;
  for (const key of path) {
    if (typeof current !== 'object' || current === null || !Object.hasOwn(current, key)) return undefined;
    current = (current as Record<string | number, unknown>)[key];
  }
  return current;
}

/** A layer whose place is the same for every key. */
export function objectLayer(place: string, values: PlainObject): ConfigLayer {
  return { values, placeOf: (path) => (valueAt(values, path) === undefined ? null : place) };
}

/** Reads a YAML mapping. @throws ConfigError with file, line and column of the first syntax error. */
export function yamlLayer(text: string, file: string): ConfigLayer {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const problem = document.errors[0];
  if (problem !== undefined) {
    const { line, col } = lines.linePos(problem.pos[0]);
    throw new ConfigError(`${file}:${line}:${col}: not valid YAML: ${problem.message}`, { suggestions: [`Mend line ${line} of ${file}`] });
  }
  const values = toValues(document, file);
  return { values, placeOf: (path) => placeInYaml(document, path, { file, lines }) };
}

function toValues(document: Document.Parsed, file: string): PlainObject {
  let values: unknown;
  try {
    values = document.toJS() as unknown;
  } catch (cause) {
    throw new ConfigError(`${file}: not valid YAML: ${(cause as Error).message}`, { cause });
  }
  if (values === null || values === undefined) return {};
  if (!isPlainObject(values)) throw new ConfigError(`${file}: expected keys and values at the top level, found ${Array.isArray(values) ? 'a list' : 'a single value'}`);
  return values;
}

function placeInYaml(document: Document.Parsed, path: KeyPath, where: { file: string; lines: LineCounter }): string | null {
  if (path.length === 0) return where.file;
  const parent: unknown = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
  const last = path.at(-1);
  if (isMap(parent)) {
    const pair = parent.items.find((item) => isPair(item) && isScalar(item.key) && String(item.key.value) === last);
    const key = pair?.key;
    return isNode(key) && key.range ? `${where.file}:${where.lines.linePos(key.range[0]).line}` : null;
  }
  const node: unknown = document.hasIn(path) ? document.getIn(path, true) : null;
  return isNode(node) && node.range ? `${where.file}:${where.lines.linePos(node.range[0]).line}` : null;
}

/** Turns `a.b=value` into a layer; the value is read as YAML, so `null`, `[0, 1]` and `1e-2` work. @throws UsageError */
export function overrideLayer(override: string): ConfigLayer {
  const equals = override.indexOf('=');
  const keys = override.slice(0, Math.max(0, equals)).trim().split('.');
  if (equals < 1 || keys.some((key) => key === '')) {
    throw new UsageError(`--set ${override}: expected KEY=VALUE with a dotted key`, { suggestions: ['--set train.steps=200'] });
  }
  const text = override.slice(equals + 1);
  let value: unknown;
  try {
    value = parse(text) as unknown;
  } catch (cause) {
    throw new UsageError(`--set ${override}: the value is not valid YAML`, { cause, suggestions: [`--set '${keys.join('.')}="${text}"'`] });
  }
  const values = keys.reduceRight<unknown>((inner, key) => bare([[key, inner]]), value) as PlainObject;
  return objectLayer(`--set ${override}`, values);
}

/** An object without a prototype, so that a key such as `__proto__` is only a key. */
function bare(entries: Iterable<readonly [string, unknown]>): PlainObject {
  const result = Object.create(null) as Record<string, unknown>;
  for (const [key, value] of entries) Object.defineProperty(result, key, { value, enumerable: true, configurable: true, writable: true });
  return result;
}

/** Later layers win; groups are merged key by key, lists and single values are replaced whole. */
export function mergeLayers(layers: readonly ConfigLayer[]): PlainObject {
  return layers.reduce<PlainObject>((merged, layer) => mergeObjects(merged, layer.values), bare([]));
}

function mergeObjects(under: PlainObject, over: PlainObject): PlainObject {
  const merged = new Map(Object.entries(under));
  for (const [key, value] of Object.entries(over)) {
    const previous = merged.get(key);
    if (!isPlainObject(value)) merged.set(key, value);
    else merged.set(key, mergeObjects(isPlainObject(previous) ? previous : bare([]), value));
  }
  return bare(merged);
}

/** Where a key was set last, highest layer first; null when nobody set it. */
export function placeOf(layers: readonly ConfigLayer[], path: KeyPath): string | null {
  for (const layer of layers.toReversed()) {
    const place = layer.placeOf(path);
    if (place !== null) return place;
  }
  return null;
}
