import { FormatError } from '../errors.js';
import { fileSize, readFileRange } from './file-bytes.js';

/** One file of an archive, as the central directory describes it. */
export interface ZipEntry {
  readonly name: string;
  readonly method: 'stored' | 'deflated';
  readonly crc32: number;
  readonly storedBytes: number;
  /** Size after inflating. */ readonly bytes: number;
  readonly headerOffset: number;
}

export interface ZipDirectory {
  readonly path: string;
  readonly entries: ReadonlyMap<string, ZipEntry>;
  /** Records end where the central directory starts. */ readonly directoryOffset: number;
}

/** A checkpoint has one record per storage; the largest teachers have a few thousand. */
const MAX_ENTRIES = 200_000;
/** 200,000 entries of 46 bytes, a name and extra fields each. */
const MAX_DIRECTORY_BYTES = 64 * 2 ** 20;

const END_BYTES = 22;
const MAX_COMMENT_BYTES = 65_535;
const LOCATOR_BYTES = 20;
const END_SIGNATURE = 0x06054b50;
const LOCATOR_SIGNATURE = 0x07064b50;
const END64_SIGNATURE = 0x06064b50;
const ENTRY_SIGNATURE = 0x02014b50;
const ENTRY_BYTES = 46;
const SATURATED_16 = 0xffff;
const SATURATED_32 = 0xffffffff;

/**
 * Reads a zip file's central directory (zip64 included), no record yet.
 * @throws FormatError when the archive is cut, encrypted, split, over the limits or uses another compression than deflate.
 */
export async function readZipDirectory(path: string): Promise<ZipDirectory> {
  const end = await readEnd(path);
  if (end.entries > MAX_ENTRIES) throw new FormatError(`${path}: ${end.entries} records in the archive, at most ${MAX_ENTRIES} expected`);
  if (end.directoryBytes > MAX_DIRECTORY_BYTES) throw new FormatError(`${path}: central directory of ${end.directoryBytes} bytes, at most ${MAX_DIRECTORY_BYTES} expected`);
  if (end.directoryOffset + end.directoryBytes > end.position) throw new FormatError(`${path}: zip archive truncated: its central directory lies beyond the end`);
  const bytes = await readFileRange(path, { start: end.directoryOffset, length: end.directoryBytes });
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries = new Map<string, ZipEntry>();
  for (let at = 0, i = 0; i < end.entries; i += 1) {
    const { entry, next } = parseEntry(path, view, at);
    if (entries.has(entry.name)) throw new FormatError(`${path}: two records are called ${JSON.stringify(entry.name)}`);
    entries.set(entry.name, entry);
    at = next;
  }
  return { path, entries, directoryOffset: end.directoryOffset };
}

interface DirectoryEnd {
  readonly entries: number;
  readonly directoryBytes: number;
  readonly directoryOffset: number;
  /** Where the end record itself starts. */ readonly position: number;
}

async function readEnd(path: string): Promise<DirectoryEnd> {
  const size = await fileSize(path);
  const length = Math.min(size, END_BYTES + MAX_COMMENT_BYTES + LOCATOR_BYTES);
  const tail = await readFileRange(path, { start: size - length, length });
  const view = new DataView(tail.buffer);
  for (let at = length - END_BYTES; at >= 0; at -= 1) {
    if (view.getUint32(at, true) !== END_SIGNATURE || at + END_BYTES + view.getUint16(at + 20, true) !== length) continue;
    const end = {
      entries: view.getUint16(at + 10, true), directoryBytes: view.getUint32(at + 12, true), directoryOffset: view.getUint32(at + 16, true),
      position: size - length + at,
    };
    const isZip64 = end.entries === SATURATED_16 || end.directoryBytes === SATURATED_32 || end.directoryOffset === SATURATED_32;
    if (!isZip64) return end;
    if (at < LOCATOR_BYTES || view.getUint32(at - LOCATOR_BYTES, true) !== LOCATOR_SIGNATURE) throw new FormatError(`${path}: zip64 archive without its locator: truncated`);
    return readEnd64(path, toSafe(path, view.getBigUint64(at - LOCATOR_BYTES + 8, true)), end.position);
  }
  throw new FormatError(`${path}: zip archive truncated: no end-of-central-directory record`, { suggestions: ['download or copy the file again'] });
}

async function readEnd64(path: string, offset: number, limit: number): Promise<DirectoryEnd> {
  if (offset + 56 > limit) throw new FormatError(`${path}: zip64 end record lies beyond the end: truncated`);
  const bytes = await readFileRange(path, { start: offset, length: 56 });
  const view = new DataView(bytes.buffer);
  if (view.getUint32(0, true) !== END64_SIGNATURE) throw new FormatError(`${path}: zip64 end record is damaged`);
  const [entries, directoryBytes, directoryOffset] = [32, 40, 48].map((at) => toSafe(path, view.getBigUint64(at, true)));
  return { entries: entries!, directoryBytes: directoryBytes!, directoryOffset: directoryOffset!, position: offset };
}

function parseEntry(path: string, view: DataView, at: number): { entry: ZipEntry; next: number } {
  if (at + ENTRY_BYTES > view.byteLength || view.getUint32(at, true) !== ENTRY_SIGNATURE) throw new FormatError(`${path}: central directory is damaged at byte ${at}`);
  const nameBytes = view.getUint16(at + 28, true);
  const extraBytes = view.getUint16(at + 30, true);
  const next = at + ENTRY_BYTES + nameBytes + extraBytes + view.getUint16(at + 32, true);
  if (next > view.byteLength) throw new FormatError(`${path}: central directory is damaged at byte ${at}`);
  const name = new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + at + ENTRY_BYTES, nameBytes));
  if ((view.getUint16(at + 8, true) & 1) !== 0) throw new FormatError(`${path}: record ${JSON.stringify(name)} is encrypted`);
  const extra = new DataView(view.buffer, view.byteOffset + at + ENTRY_BYTES + nameBytes, extraBytes);
  const sizes = [view.getUint32(at + 24, true), view.getUint32(at + 20, true), view.getUint32(at + 42, true)];
  const [bytes, storedBytes, headerOffset] = widen(path, sizes, extra);
  const method = parseMethod(path, name, view.getUint16(at + 10, true));
  return { entry: { name, method, crc32: view.getUint32(at + 16, true), storedBytes: storedBytes!, bytes: bytes!, headerOffset: headerOffset! }, next };
}

/** Replaces fields that do not fit 32 bits by those of the zip64 extra field, which lists only them, in this order. */
function widen(path: string, fields: readonly number[], extra: DataView): readonly number[] {
  if (!fields.includes(SATURATED_32)) return fields;
  for (let at = 0; at + 4 <= extra.byteLength; at += 4 + extra.getUint16(at + 2, true)) {
    if (extra.getUint16(at, true) !== 1) continue;
    let next = at + 4;
    return fields.map((field) => {
      if (field !== SATURATED_32) return field;
      next += 8;
      if (next > extra.byteLength) throw new FormatError(`${path}: zip64 sizes are cut short`);
      return toSafe(path, extra.getBigUint64(next - 8, true));
    });
  }
  return fields;
}

function parseMethod(path: string, name: string, method: number): 'stored' | 'deflated' {
  if (method === 0) return 'stored';
  if (method === 8) return 'deflated';
  throw new FormatError(`${path}: record ${JSON.stringify(name)} has compression method ${method}; known: stored (0), deflated (8)`);
}

function toSafe(path: string, value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new FormatError(`${path}: zip64 size ${value} is out of range`);
  return Number(value);
}
