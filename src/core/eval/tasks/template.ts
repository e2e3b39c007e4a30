import { nearestOf } from '../../config/nearest.js';
import { ConfigError } from '../../errors.js';
import type { TaskDocument } from './documents.js';
import { kindOf, requiredField, textOf } from './documents.js';
import type { Filter } from './filters.js';
import { FILTERS } from './filters.js';

/**
 * Text with fields of a document in it: `Question: {{question | strip}}\nAnswer:`. A template that is one `{{…}}` and nothing else gives the value itself,
 * which may be a list or a number. Nothing in a document is ever executed, and a field's text is never read as a template.
 */
export interface Template {
  readonly source: string;
  /** Every field it needs, as a path of keys. */ readonly fields: readonly (readonly string[])[];
  /** @throws FormatError naming the place and the field when the document lacks one or it is of another kind. */
  evaluate(document: TaskDocument): unknown;
}

type Operand = { readonly literal: string | number } | { readonly path: readonly string[] } | { readonly members: readonly Operand[] };

interface Step {
  readonly filter: Filter;
  readonly argument: Expression | null;
}

interface Expression {
  readonly source: string;
  readonly start: Operand;
  readonly steps: readonly Step[];
}

const PATH = /^[A-Za-z_][\w-]*(?:\.[\w-]+)*$/;
const FILTER = /^([A-Za-z_]\w*)\s*(?:\(\s*(.*?)\s*\))?$/s;
const EXPRESSION = /\{\{(.*?)\}\}/gs;

/** Reads a template. @throws ConfigError naming what cannot be read, with the nearest filter. */
export function compileTemplate(source: string): Template {
  const pieces: (string | Expression)[] = [];
  let end = 0;
  for (const match of source.matchAll(EXPRESSION)) {
    if (match.index > end) pieces.push(source.slice(end, match.index));
    pieces.push(parseExpression(match[1]!.trim(), source));
    end = match.index + match[0].length;
  }
  if (end < source.length || pieces.length === 0) pieces.push(source.slice(end));
  const stray = pieces.find((piece) => typeof piece === 'string' && /\{\{|\}\}|\{%|%\}/.test(piece));
  if (stray !== undefined) throw unreadable(source, 'a bracket that is not part of a {{field}}');
  const [only] = pieces;
  const fields = pieces.flatMap((piece) => (typeof piece === 'string' ? [] : fieldsOf(piece)));
  if (pieces.length === 1 && typeof only === 'object') return { source, fields, evaluate: (document) => evaluateExpression(only, document) };
  return { source, fields, evaluate: (document) => pieces.map((piece) => (typeof piece === 'string' ? piece : inText(piece, document))).join('') };
}

function unreadable(source: string, reason: string, suggestions: readonly string[] = []): ConfigError {
  return new ConfigError(`the template ${JSON.stringify(source)} cannot be read: ${reason}`, {
    suggestions: [...suggestions, 'Write {{field}}, {{field.inner}}, {{field | filter}} or {{[field, other]}}; docs/tasks.md lists the filters'],
  });
}

/** Splits at a separator outside quotes, brackets and parentheses. */
function splitOutside(text: string, separator: string): string[] {
  const parts: string[] = [];
  let [depth, quote, part] = [0, '', ''];
  for (const character of text) {
    if (quote === '' && depth === 0 && character === separator) {
      parts.push(part.trim());
      part = '';
      continue;
    }
    if (quote !== '') quote = character === quote ? '' : quote;
    else if (character === '\'' || character === '"') quote = character;
    else depth += '[('.includes(character) ? 1 : '])'.includes(character) ? -1 : 0;
    part += character;
  }
  return [...parts, part.trim()];
}

function parseExpression(text: string, source: string): Expression {
  const [start, ...filters] = splitOutside(text, '|');
  return { source: text, start: parseOperand(start!, source), steps: filters.map((filter) => parseFilter(filter, source)) };
}

function parseOperand(text: string, source: string): Operand {
  if (/^'[^']*'$|^"[^"]*"$/.test(text)) return { literal: text.slice(1, -1) };
  if (/^-?\d+$/.test(text)) return { literal: Number(text) };
  if (PATH.test(text)) return { path: text.split('.') };
  if (text.startsWith('[') && text.endsWith(']')) return { members: splitOutside(text.slice(1, -1), ',').map((member) => parseOperand(member, source)) };
  throw unreadable(source, `${JSON.stringify(text)} is neither a field, a text in quotes, a whole number nor a list of these`);
}

function parseFilter(text: string, source: string): Step {
  const [, name = '', argument] = FILTER.exec(text) ?? [];
  const filter = Object.hasOwn(FILTERS, name) ? FILTERS[name] : undefined;
  if (filter === undefined) {
    const nearest = nearestOf(name === '' ? text : name, Object.keys(FILTERS));
    throw unreadable(source, `unknown filter ${JSON.stringify(name === '' ? text : name)}`, nearest === null ? [] : [`Did you mean ${nearest}?`]);
  }
  if ((argument === undefined || argument === '') !== (filter.argument === 'none')) {
    throw unreadable(source, `${name} takes ${filter.argument === 'none' ? 'no argument' : `one argument: ${name}(…)`}`);
  }
  if (argument === undefined || argument === '') return { filter, argument: null };
  return { filter, argument: filter.argument === 'key' ? { source: argument, start: { literal: argument }, steps: [] } : parseExpression(argument, source) };
}

function fieldsOf({ start, steps }: Expression): (readonly string[])[] {
  const of = (operand: Operand): (readonly string[])[] => {
    if ('literal' in operand) return [];
    return 'path' in operand ? [operand.path] : operand.members.flatMap(of);
  };
  return [...of(start), ...steps.flatMap(({ argument }) => (argument === null ? [] : fieldsOf(argument)))];
}

function valueOf(operand: Operand, document: TaskDocument): unknown {
  if ('literal' in operand) return operand.literal;
  return 'path' in operand ? requiredField(document, operand.path) : operand.members.map((member) => valueOf(member, document));
}

function evaluateExpression({ source, start, steps }: Expression, document: TaskDocument): unknown {
  const what = `${document.place}: {{${source}}}`;
  return steps.reduce<unknown>(
    (value, { filter, argument }) => filter.apply(value, { argument: argument === null ? null : evaluateExpression(argument, document), what }), valueOf(start, document));
}

function inText(expression: Expression, document: TaskDocument): string {
  const value = evaluateExpression(expression, document);
  return typeof value === 'number' ? String(value) : textOf(value, `${document.place}: {{${expression.source}}} inside a text (found ${kindOf(value)})`);
}
