import type { z } from 'zod';

import { ConfigError } from '../errors.js';
import type { SchemaNode } from './json-schema.js';
import { expectationOf, keyPaths, schemaAt } from './json-schema.js';
import type { ConfigLayer, KeyPath } from './layers.js';
import { mergeLayers, placeOf, valueAt } from './layers.js';
import { nearestOf } from './nearest.js';

/** One thing that is wrong, where it was written, and what to type instead. */
export interface ConfigProblem {
  readonly message: string;
  readonly suggestion: string | null;
}

/** Names of a value's type and the value, short enough for one line. */
function foundText(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return `the list ${JSON.stringify(value).slice(0, 60)}`;
  if (typeof value === 'object') return 'a group of keys';
  if (typeof value === 'string') return `the text ${JSON.stringify(value.slice(0, 60))}`;
  return typeof value === 'number' ? `the number ${value}` : String(value);
}

function unknownKey(path: KeyPath, place: string, schema: SchemaNode): ConfigProblem {
  const typed = path.join('.');
  const nearest = nearestOf(typed, keyPaths(schema)) ?? '';
  const group = schemaAt(schema, path.slice(0, -1));
  const keys = Object.keys(group?.properties ?? {}).join(', ');
  return {
    message: `${place}: unknown key ${typed}; the nearest key is ${nearest}`,
    suggestion: `Write ${nearest} instead of ${typed}, or leave it out${keys === '' ? '' : ` (keys there: ${keys})`}`,
  };
}

function wrongValue(path: KeyPath, value: unknown, context: { schema: SchemaNode; layers: readonly ConfigLayer[]; file: string }): ConfigProblem {
  const key = path.join('.');
  const node = schemaAt(context.schema, path) ?? {};
  const expected = expectationOf(node);
  const place = placeOf(context.layers, path) ?? context.file;
  const example = node.default === undefined ? null : `Default: ${key}: ${JSON.stringify(node.default)}`;
  if (value === undefined) return { message: `${place}: ${key} is missing; expected ${expected}`, suggestion: `Add ${key}: ${node.description ?? expected}` };
  return { message: `${place}: ${key} must be ${expected}; found ${foundText(value)}`, suggestion: example ?? `Set ${key} to ${expected}` };
}

/** Turns what zod found into messages that name key, place, finding, range and nearest key. */
export function describeIssues(issues: readonly z.core.$ZodIssue[], context: { schema: SchemaNode; layers: readonly ConfigLayer[]; file: string }): ConfigProblem[] {
  const values = mergeLayers(context.layers);
  return issues.flatMap((issue) => {
    const path = issue.path.map((key) => (typeof key === 'symbol' ? String(key) : key));
    if (issue.code !== 'unrecognized_keys') return [wrongValue(path, valueAt(values, path), context)];
    return issue.keys.map((key) => {
      const full = [...path, key];
      return unknownKey(full, placeOf(context.layers, full) ?? context.file, context.schema);
    });
  });
}

/** One error for all problems, the first ones first. */
export function problemsError(problems: readonly ConfigProblem[]): ConfigError {
  const suggestions = [...new Set(problems.map((problem) => problem.suggestion).filter((text) => text !== null))];
  const messages = problems.map((problem) => problem.message);
  const message = messages.length === 1 ? (messages[0] as string) : [`${messages.length} problems in the configuration`, ...messages].join('\n  ');
  return new ConfigError(message, { suggestions });
}
