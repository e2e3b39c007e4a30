import { z } from 'zod';

import type { KeyPath } from './layers.js';
import { distillConfigSchema, teacherConfigSchema } from './schema.js';

/** The subset of JSON Schema that our schemas use. */
export interface SchemaNode {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly SchemaNode[];
  readonly items?: SchemaNode;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly required?: readonly string[];
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
  readonly exclusiveMaximum?: number;
  readonly minItems?: number;
  readonly additionalProperties?: unknown;
}

const SCHEMAS = { distill: distillConfigSchema, teacher: teacherConfigSchema } as const;
export type ConfigKind = keyof typeof SCHEMAS;

/** What the editor needs to check and complete a YAML file of this kind: JSON Schema 2020-12. */
export function configJsonSchema(kind: ConfigKind): SchemaNode {
  return z.toJSONSchema(SCHEMAS[kind], {
    io: 'input',
    override: ({ jsonSchema }) => {
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
      if (jsonSchema.properties !== undefined) delete jsonSchema.default;
    },
  }) as SchemaNode;
}

/** The schema of one key, or null where there is no such key. */
export function schemaAt(root: SchemaNode, path: KeyPath): SchemaNode | null {
  let node: SchemaNode | undefined = root;
  for (const key of path) {
    const candidates: readonly SchemaNode[] = node.anyOf ?? [node];
    node = typeof key === 'number'
      ? candidates.find((candidate) => candidate.items !== undefined)?.items
      : candidates.map((candidate) => candidate.properties?.[key]).find((found) => found !== undefined);
    if (node === undefined) return null;
  }
  return node;
}

/** Every key with its dotted path, groups before their members. */
export function keyPaths(root: SchemaNode, prefix = ''): string[] {
  return Object.entries(root.properties ?? {}).flatMap(([key, node]) => [`${prefix}${key}`, ...keyPaths(node, `${prefix}${key}.`)]);
}

/** What a value must be, in words: `a whole number from 1, or null`. */
export function expectationOf(node: SchemaNode): string {
  if (node.anyOf !== undefined) return node.anyOf.map((option) => (option.type === 'null' ? 'null' : expectationOf(option))).join(', or ');
  if (node.enum !== undefined) return `one of ${node.enum.join(' | ')}`;
  switch (node.type) {
    case 'integer': return `a whole number${rangeOf(node)}`;
    case 'number': return `a number${rangeOf(node)}`;
    case 'string': return 'text of at least one character';
    case 'boolean': return 'true or false';
    case 'array': return `a list of ${node.items === undefined ? 'values' : expectationOf(node.items).replace(/^a /, '')}`;
    default: return 'a group of keys';
  }
}

function rangeOf(node: SchemaNode): string {
  const low = node.minimum !== undefined ? ` from ${node.minimum}` : node.exclusiveMinimum !== undefined ? ` above ${node.exclusiveMinimum}` : '';
  const high = node.maximum !== undefined ? ` to ${node.maximum}` : node.exclusiveMaximum !== undefined ? ` and below ${node.exclusiveMaximum}` : '';
  return `${low}${low.startsWith(' above') && high.startsWith(' to') ? ' up' : ''}${high}`;
}
