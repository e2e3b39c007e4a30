import { open } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

import { FormatError } from '../../errors.js';
import type { Row, TaskDocument } from './documents.js';
import { kindOf } from './documents.js';
import { readParquetRows } from './parquet-rows.js';

/** Extensions of the item files that are read. */
export const ITEM_FILE = /\.(?:jsonl|parquet)$/;

/**
 * Reads the items of a file: JSON Lines, or Parquet. Beside `NAME.REST.jsonl`, a file `NAME-labels.REST.lst` gives each item its `label`, line by line
 * (PIQA's layout).
 * @throws FormatError naming file and line, when the file is cut short, is of another format, or holds no item.
 */
export async function readRows(path: string): Promise<readonly TaskDocument[]> {
  const documents = path.endsWith('.parquet') ? await readParquetRows(path) : await readJsonLines(path);
  if (documents.length === 0) throw new FormatError(`${path} holds no item`, { suggestions: ['One JSON object a line, or a Parquet file with rows'] });
  const labels = await readLabels(path);
  if (labels === null) return documents;
  if (labels.length !== documents.length) throw new FormatError(`${labelsPath(path)} has ${labels.length} labels for the ${documents.length} items of ${path}`);
  return documents.map(({ row, place }, i) => ({ row: { ...row, label: labels[i] }, place }));
}

async function readJsonLines(path: string): Promise<TaskDocument[]> {
  const documents: TaskDocument[] = [];
  for await (const { line, number } of linesOf(path)) {
    if (line.trim() !== '') documents.push({ row: parseRow(line, `${path}:${number}`), place: `${path}:${number}` });
  }
  return documents;
}

/** Lines that end with \n or \r\n, and with nothing else: `node:readline` also ends them at U+2028 in later Node.js, which JSON allows inside of strings. */
async function* linesOf(path: string): AsyncGenerator<{ line: string; number: number }> {
  const file = await open(path).catch((cause: NodeJS.ErrnoException) => {
    throw new FormatError(`${path} cannot be read (${cause.code})`, { cause });
  });
  try {
    let [number, rest] = [0, ''];
    for await (const piece of file.createReadStream({ encoding: 'utf8', autoClose: false })) {
      const lines = `${rest}${String(piece)}`.split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) yield { line: line.replace(/\r$/, ''), number: ++number };
    }
    if (rest !== '') yield { line: rest.replace(/\r$/, ''), number: ++number };
  } finally {
    await file.close();
  }
}

function parseRow(line: string, place: string): Row {
  let row: unknown;
  try {
    row = JSON.parse(line);
  } catch (cause) {
    throw new FormatError(`${place} is not JSON: ${(cause as Error).message}`, { cause, suggestions: ['One JSON object a line; the file may be cut short'] });
  }
  if (typeof row !== 'object' || row === null || Array.isArray(row)) throw new FormatError(`${place} must be an object with the item's fields, found ${kindOf(row)}`);
  return row as Row;
}

function labelsPath(path: string): string {
  const [stem, ...rest] = basename(path).split('.');
  return join(dirname(path), `${stem}-labels.${rest.slice(0, -1).map((part) => `${part}.`).join('')}lst`);
}

/** Null when there is no such file. */
async function readLabels(path: string): Promise<readonly string[] | null> {
  const file = await open(labelsPath(path)).catch(() => null);
  if (file === null) return null;
  try {
    return (await file.readFile('utf8')).split(/\r?\n/).filter((line) => line.trim() !== '');
  } finally {
    await file.close();
  }
}
