import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { FormatError, Interrupted } from '../errors.js';
import type { RunContext } from '../types.js';
import { fileSize, readFileChunks } from './file-bytes.js';
import { WEIGHT_FILES } from './weight-files.js';

/** One file of a model, as it was when it was read. */
export interface SnapshotFile {
  readonly name: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** A model's files on this machine. */
export interface LocalSnapshot {
  readonly folder: string;
  /** What the user named: a repository id, or an absolute path. */ readonly source: string;
  /** Commit of the repository; null for a plain folder. */ readonly commit: string | null;
  readonly files: readonly SnapshotFile[];
}

/** Files beside the weights that an import reads or copies. */
export const COMPANION_FILES: readonly string[] = [
  'config.json', 'generation_config.json', 'tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json', 'added_tokens.json', 'vocab.json', 'merges.txt',
];

const BYTES_PER_HASH = 8 * 2 ** 20;

/**
 * Sizes and SHA-256 of the files of a local folder that an import reads: configuration, tokenizer and the weights it chooses.
 * @throws FormatError when the folder cannot be read; Interrupted when the signal is aborted.
 */
export async function localSnapshot(folder: string, context: RunContext): Promise<LocalSnapshot> {
  const present = await readdir(folder).catch((cause: NodeJS.ErrnoException) => {
    throw new FormatError(`${folder} is not a folder that can be read (${cause.code})`, { cause });
  });
  const names = [...COMPANION_FILES.filter((name) => present.includes(name)), ...weightFiles(present)];
  const files: SnapshotFile[] = [];
  for (const name of names) files.push(await describeFile(join(folder, name), name, context));
  return { folder, source: resolve(folder), commit: null, files };
}

/** The weight file that is read, or the index and every shard of its format. */
function weightFiles(present: readonly string[]): readonly string[] {
  const first = WEIGHT_FILES.find((name) => present.includes(name));
  if (first === undefined) return [];
  if (!first.endsWith('.index.json')) return [first];
  const suffix = first.includes('.safetensors') ? '.safetensors' : '.bin';
  return [first, ...present.filter((name) => /-\d+-of-\d+\./.test(name) && name.endsWith(suffix)).sort()];
}

async function describeFile(path: string, name: string, context: RunContext): Promise<SnapshotFile> {
  const sizeBytes = await fileSize(path);
  const hash = createHash('sha256');
  let done = 0;
  for await (const chunk of readFileChunks(path, { start: 0, length: sizeBytes }, BYTES_PER_HASH)) {
    if (context.signal.aborted) throw new Interrupted(`reading ${path} was interrupted; nothing was written`);
    hash.update(chunk);
    done += chunk.length;
    context.reporter.progress({ phase: `hash ${name}`, done, total: sizeBytes, unit: 'bytes' });
  }
  return { name, sizeBytes, sha256: hash.digest('hex') };
}
