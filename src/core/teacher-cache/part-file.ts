import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';

import { FormatError } from '../errors.js';
import { writeFileAtomically } from '../hub/atomic-write.js';
import { fileSize, readFileChunks, readFileRange } from '../hub/file-bytes.js';
import type { RecordShape } from './record.js';
import { recordBytes } from './record.js';

/**
 * A part of a teacher cache: windows and their records, written once, whole or not at all. File, little-endian: the magic, u32 format, u32 number of
 * windows W, SHA-256 of the cache's identity (32 bytes), where the windows begin (W u32), their records (W · L · (4N + 4) bytes), SHA-256 of
 * everything before.
 */
const MAGIC = 'BSPKTCHR';
const FORMAT = 1;
const FIXED_BYTES = 48;
const HASH_BYTES = 32;
const BYTES_PER_READ = 8 * 2 ** 20;
const PART_NAME = /^[0-9a-f]{8}\.part$/;

/** Which cache a part belongs to. */
export interface PartKind extends RecordShape {
  /** Of its identity. */ readonly identityHash: Buffer;
}

/** What a cache holds of one window. */
export interface WindowRecord {
  /** Position of its first token. */ readonly start: number;
  readonly bytes: Uint8Array;
}

/** A part that was found whole. */
export interface Part {
  readonly path: string;
  readonly sizeBytes: number;
  /** Of its windows, in order. */ readonly starts: readonly number[];
  /** Where the first record is [bytes]. */ readonly recordsAt: number;
}

/** True for the name of a finished part; the one after `.incomplete` was left by a writer that was killed. */
export const isPartName = (name: string): boolean => PART_NAME.test(name);

/** Writes a part of a name of its own into `folder`. @throws FormatError when the disk is full or refuses. */
export async function writePart(folder: string, kind: PartKind, windows: readonly WindowRecord[]): Promise<void> {
  const head = Buffer.alloc(FIXED_BYTES + 4 * windows.length);
  head.write(MAGIC, 'latin1');
  head.writeUInt32LE(FORMAT, 8);
  head.writeUInt32LE(windows.length, 12);
  kind.identityHash.copy(head, 16);
  windows.forEach(({ start }, i) => head.writeUInt32LE(start, FIXED_BYTES + 4 * i));
  const hash = createHash('sha256');
  await writeFileAtomically(join(folder, `${randomBytes(4).toString('hex')}.part`), async (write) => {
    for (const bytes of [head, ...windows.map((window) => window.bytes)]) {
      hash.update(bytes);
      await write(bytes);
    }
    await write(hash.digest());
  });
}

/** Checks a part from its first byte to its last. @throws FormatError naming the file when it is damaged, cut short or not of this cache. */
export async function checkPart(path: string, kind: PartKind): Promise<Part> {
  const sizeBytes = await fileSize(path);
  const refuse = (found: string): never => {
    throw new FormatError(`${path} ${found}`, { suggestions: [`remove ${path} and type the same command again: its windows are computed anew`] });
  };
  if (sizeBytes < FIXED_BYTES + HASH_BYTES) refuse(`has ${sizeBytes} bytes: cut short, or no part of a teacher cache`);
  const fixed = Buffer.from(await readFileRange(path, { start: 0, length: FIXED_BYTES }));
  if (fixed.toString('latin1', 0, MAGIC.length) !== MAGIC) refuse('is no part of a teacher cache');
  if (fixed.readUInt32LE(8) !== FORMAT) refuse(`has format ${fixed.readUInt32LE(8)}, ${FORMAT} expected`);
  const windows = fixed.readUInt32LE(12);
  const recordsAt = FIXED_BYTES + 4 * windows;
  const expected = recordsAt + windows * recordBytes(kind) + HASH_BYTES;
  if (sizeBytes !== expected) refuse(`has ${sizeBytes} bytes, ${expected} expected for ${windows} windows: cut short or damaged`);
  if (!fixed.subarray(16).equals(kind.identityHash)) refuse('belongs to another teacher cache');
  const [found, stored] = [await hashStart(path, sizeBytes - HASH_BYTES), await readFileRange(path, { start: sizeBytes - HASH_BYTES, length: HASH_BYTES })];
  if (!found.equals(stored)) refuse('does not match the checksum it was written with: damaged');
  const starts = Buffer.from(await readFileRange(path, { start: FIXED_BYTES, length: 4 * windows }));
  return { path, sizeBytes, recordsAt, starts: Array.from({ length: windows }, (_, i) => starts.readUInt32LE(4 * i)) };
}

async function hashStart(path: string, length: number): Promise<Buffer> {
  const hash = createHash('sha256');
  for await (const piece of readFileChunks(path, { start: 0, length }, BYTES_PER_READ)) hash.update(piece);
  return hash.digest();
}
