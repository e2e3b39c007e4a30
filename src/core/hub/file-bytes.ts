import { open, type FileHandle } from 'node:fs/promises';
import { FormatError } from '../errors.js';

/** Read at most this much per system call, so that a cut file is noticed before gigabytes are moved. */
const BYTES_PER_READ = 64 * 2 ** 20;

/** A range of a file, in bytes. */
export interface ByteRange {
  readonly start: number;
  readonly length: number;
}

/**
 * Reads exactly `range` of the file.
 * @throws FormatError when the file cannot be read, ends earlier or the range does not fit in memory.
 */
export async function readFileRange(path: string, range: ByteRange): Promise<Uint8Array> {
  const parts = allocate(path, range.length);
  let filled = 0;
  for await (const part of readFileChunks(path, range, BYTES_PER_READ)) {
    parts.set(part, filled);
    filled += part.length;
  }
  return parts;
}

/**
 * Reads `range` of the file in pieces of `chunkBytes` (the last may be shorter); each piece is valid until the next one.
 * @throws FormatError when the file cannot be read or ends earlier.
 */
export async function* readFileChunks(path: string, range: ByteRange, chunkBytes: number): AsyncGenerator<Uint8Array> {
  const handle = await openForReading(path);
  try {
    const buffer = allocate(path, Math.min(chunkBytes, range.length));
    for (let done = 0; done < range.length; done += buffer.length) {
      const piece = buffer.subarray(0, Math.min(buffer.length, range.length - done));
      await fill(handle, piece, { path, position: range.start + done });
      yield piece;
    }
  } finally {
    await handle.close();
  }
}

/** Size of a regular file in bytes. @throws FormatError when it is absent or not a file. */
export async function fileSize(path: string): Promise<number> {
  const handle = await openForReading(path);
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) throw new FormatError(`${path} is not a file`);
    return stats.size;
  } finally {
    await handle.close();
  }
}

async function openForReading(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r');
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    throw new FormatError(code === 'ENOENT' ? `${path}: no such file` : `${path} cannot be read (${code ?? String(cause)})`, { cause });
  }
}

async function fill(handle: FileHandle, target: Uint8Array, from: { path: string; position: number }): Promise<void> {
  for (let filled = 0; filled < target.length; ) {
    const { bytesRead } = await readOnce(handle, target.subarray(filled), { path: from.path, position: from.position + filled });
    if (bytesRead === 0) throw new FormatError(`${from.path} ends at byte ${from.position + filled}: file truncated while it was read`);
    filled += bytesRead;
  }
}

async function readOnce(handle: FileHandle, target: Uint8Array, from: { path: string; position: number }): Promise<{ bytesRead: number }> {
  try {
    return await handle.read(target, 0, target.length, from.position);
  } catch (cause) {
    throw new FormatError(`${from.path} cannot be read at byte ${from.position} (${(cause as NodeJS.ErrnoException).code ?? String(cause)})`, { cause });
  }
}

function allocate(path: string, bytes: number): Uint8Array {
  try {
    return new Uint8Array(bytes);
  } catch (cause) {
    throw new FormatError(`${path}: ${bytes} bytes do not fit in memory at once`, { cause });
  }
}
