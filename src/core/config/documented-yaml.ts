import { stringify } from 'yaml';

import type { ConfigKind, SchemaNode } from './json-schema.js';
import { configJsonSchema } from './json-schema.js';
import type { PlainObject } from './layers.js';
import { isPlainObject } from './layers.js';

const COMMENT_WIDTH = 118;

/** A comment of whole words, no line longer than the page. */
function comment(text: string, indent: string): string[] {
  const lines: string[] = [];
  let line = `${indent}#`;
  for (const word of text.split(' ')) {
    if (line.length + 1 + word.length > COMMENT_WIDTH) {
      lines.push(line);
      line = `${indent}#`;
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}

function scalar(value: unknown): string {
  if (Array.isArray(value)) return JSON.stringify(value).replaceAll(',', ', ');
  return stringify(value, { lineWidth: 0 }).trimEnd();
}

function meaning(node: SchemaNode): string {
  if (node.properties !== undefined) return node.description ?? '';
  const fallback = node.default === undefined ? 'Required.' : `Default ${scalar(node.default)}.`;
  const choices = node.enum === undefined ? '' : ` One of ${node.enum.join(' | ')}.`;
  return `${node.description ?? ''}${choices} ${fallback}`;
}

function body(node: SchemaNode, values: PlainObject, indent: string): string[] {
  return Object.entries(node.properties ?? {}).flatMap(([key, child]) => {
    const value = values[key];
    const head = [...(indent === '' ? [''] : []), ...comment(meaning(child), indent)];
    if (isPlainObject(value)) return [...head, `${indent}${key}:`, ...body(child, value, `${indent}  `)];
    return [...head, `${indent}${key}: ${scalar(value)}`];
  });
}

/**
 * A configuration with every key, each below its meaning, unit and default.
 * @param header lines for the top of the file, without `#`.
 */
export function documentedYaml(kind: ConfigKind, values: PlainObject, header: readonly string[]): string {
  const top = [`yaml-language-server: $schema=../schemas/${kind}.schema.json`, ...header].map((line) => `# ${line}`.trimEnd());
  return `${[...top, ...body(configJsonSchema(kind), values, '')].join('\n')}\n`;
}
