import { ConfigError } from '../errors.js';
import type { JsonObject } from './format.js';

/** Differences named in a message; the rest are counted. */
const NAMED_AT_MOST = 8;

/**
 * Checks that a checkpoint belongs to the run that wants to continue it.
 * @throws ConfigError naming every key that differs, with both values.
 */
export function requireSameIdentity(folder: string, found: JsonObject, expected: JsonObject): void {
  const [stored, wanted] = [flatten(found), flatten(expected)];
  const keys = [...new Set([...stored.keys(), ...wanted.keys()])].filter((key) => stored.get(key) !== wanted.get(key));
  if (keys.length === 0) return;
  const show = (value: string | undefined): string => value ?? 'absent';
  const named = keys.slice(0, NAMED_AT_MOST).map((key) => `${key} (checkpoint ${show(stored.get(key))}, now ${show(wanted.get(key))})`);
  const rest = keys.length > NAMED_AT_MOST ? ` and ${keys.length - NAMED_AT_MOST} more` : '';
  throw new ConfigError(`${folder} belongs to a run with another configuration; different: ${named.join(', ')}${rest}`, {
    suggestions: ['resume with the configuration the run was started with', 'or start a new run: choose another folder with --set run=DIR'],
  });
}

/** Leaves by dotted key, as JSON text. */
function flatten(value: unknown, prefix = '', leaves = new Map<string, string>()): Map<string, string> {
  // Through JSON once, so that what is compared is what a checkpoint stores.
  const plain: unknown = prefix === '' ? JSON.parse(JSON.stringify(value)) : value;
  if (plain !== null && typeof plain === 'object' && !Array.isArray(plain)) {
    for (const [key, inner] of Object.entries(plain)) flatten(inner, prefix === '' ? key : `${prefix}.${key}`, leaves);
  } else {
    leaves.set(prefix, JSON.stringify(plain));
  }
  return leaves;
}
