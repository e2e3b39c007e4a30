import { closeSync, openSync, readSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { formatDigested, parseDigested } from '../checkpoint/digested-json.js';
import { ensureFolder } from '../checkpoint/folders.js';
import type { SampledRows } from '../corpus/batches.js';
import { FormatError } from '../errors.js';
import { writeTextAtomically } from '../hub/atomic-write.js';
import type { CacheIdentity } from './identity.js';
import { identityHash, requireSameCache } from './identity.js';
import type { Part } from './part-file.js';
import { checkPart, isPartName } from './part-file.js';
import { recordBytes, unpackRecords } from './record.js';

const CACHE_FILE = 'cache.json';
const KIND = { what: 'teacher cache', format: 1 } as const;

/** What cache.json says: whose cache this is, and what a run wants to know of the teacher without running it. */
export interface CacheHeader {
  readonly identity: CacheIdentity;
  /** V */ readonly vocabSize: number;
  /** Of the teacher on all validation windows, nats per token. */ readonly teacherNll: number;
  /** What computed it: versions, backend, time. */ readonly made: Readonly<Record<string, unknown>>;
}

/** A teacher cache that was found whole. */
export interface TeacherCache {
  readonly folder: string;
  readonly header: CacheHeader;
  /** Windows held. */ readonly windows: number;
  /** Of all its files [bytes]. */ readonly sizeBytes: number;
  /** Whether the window that begins at a position of the training tokens is held. */ has(start: number): boolean;
  /** What is held of the windows that begin at `starts`, in that order. @throws FormatError when one is not held or the file cannot be read. */
  read(starts: Int32Array): SampledRows;
  /** Closes its files. */ close(): void;
}

/**
 * Reads cache.json. @returns null when there is no cache in `folder` yet.
 * @throws FormatError when it is damaged or the folder holds something else; ConfigError naming what differs when it is another run's cache.
 */
export async function readCacheHeader(folder: string, wanted: CacheIdentity): Promise<CacheHeader | null> {
  const names = await readdir(folder).catch((cause: NodeJS.ErrnoException): string[] => {
    if (cause.code === 'ENOENT') return [];
    throw new FormatError(`the teacher cache ${folder} cannot be read (${cause.code ?? cause.message})`, { cause, suggestions: ['--set teacherCache.folder=DIR'] });
  });
  const file = join(folder, CACHE_FILE);
  if (!names.includes(CACHE_FILE)) {
    if (names.every((name) => name.endsWith('.incomplete'))) return null;
    throw new FormatError(`${folder} holds files, but no ${CACHE_FILE}: it is no teacher cache`, { suggestions: ['--set teacherCache.folder=DIR, a folder that is empty or not there yet'] });
  }
  const { header } = parseDigested(await readFile(file, 'utf8'), file, KIND) as unknown as { header: CacheHeader };
  requireSameCache(folder, header.identity, wanted);
  return header;
}

/** Begins a cache: its folder and cache.json. @throws FormatError when the disk is full or refuses. */
export async function beginCache(folder: string, header: CacheHeader): Promise<void> {
  await ensureFolder(folder);
  await writeTextAtomically(join(folder, CACHE_FILE), formatDigested({ format: KIND.format, header }));
}

/** Opens a cache and checks every byte of it. @throws FormatError naming the file that is damaged. */
export async function openCache(folder: string, header: CacheHeader): Promise<TeacherCache> {
  const kind = { ...header.identity, identityHash: identityHash(header.identity) };
  const parts: Part[] = [];
  for (const name of (await readdir(folder)).filter(isPartName).sort()) parts.push(await checkPart(join(folder, name), kind));
  const reader = new RecordReader(parts, recordBytes(kind));
  const headerBytes = Buffer.byteLength(formatDigested({ format: KIND.format, header }));
  return {
    folder, header, windows: reader.places.size, sizeBytes: parts.reduce((sum, part) => sum + part.sizeBytes, headerBytes),
    has: (start) => reader.places.has(start),
    read: (starts) => unpackRecords(Array.from(starts, (start) => reader.read(start, folder)), { ...kind, vocabSize: header.vocabSize }, folder),
    close: () => { reader.close(); },
  };
}

/** Reads records where they lie; a cache may be larger than memory. */
class RecordReader {
  /** By start of the window: its file and where in it. */
  readonly places = new Map<number, { readonly path: string; readonly at: number }>();
  private readonly files = new Map<string, number>();

  constructor(parts: readonly Part[], private readonly bytes: number) {
    for (const { path, starts, recordsAt } of parts) starts.forEach((start, i) => this.places.set(start, { path, at: recordsAt + i * bytes }));
  }

  read(start: number, folder: string): Uint8Array {
    const place = this.places.get(start);
    if (place === undefined) throw new FormatError(`the teacher cache ${folder} does not hold the window at token ${start}`);
    const record = new Uint8Array(this.bytes);
    try {
      const file = this.files.get(place.path) ?? openSync(place.path, 'r');
      this.files.set(place.path, file);
      if (readSync(file, record, 0, this.bytes, place.at) === this.bytes) return record;
    } catch (cause) {
      throw new FormatError(`${place.path} cannot be read at byte ${place.at} (${(cause as NodeJS.ErrnoException).code ?? String(cause)})`, { cause });
    }
    throw new FormatError(`${place.path} ends before byte ${place.at + this.bytes}: cut short while it was read`);
  }

  close(): void {
    for (const file of this.files.values()) closeSync(file);
    this.files.clear();
  }
}
