import { randomBytes } from 'node:crypto';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { FormatError } from '../errors.js';

/** Appends bytes to the file being written. */
export type ByteSink = (bytes: Uint8Array) => Promise<void>;

/** What a write needs of the file system; tests replace it to meet a full disk. */
export interface AtomicWriteOptions {
  readonly openFile?: (path: string) => Promise<FileHandle>;
}

/**
 * Writes a file so that it is there completely or not at all: to a temporary name beside it, flushed to disk, then renamed.
 * @throws FormatError naming the file when the disk is full or refuses; errors of `produce` pass through. Nothing partial stays.
 */
export async function writeFileAtomically(
  path: string, produce: (write: ByteSink) => Promise<void>, options: AtomicWriteOptions = {},
): Promise<void> {
  const temporary = `${path}.${randomBytes(4).toString('hex')}.incomplete`;
  try {
    const handle = await (options.openFile ?? createFile)(temporary);
    try {
      await produce((bytes) => writeAll(handle, bytes));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true });
    throw explainWriteFailure(path, cause);
  }
}

/** {@link writeFileAtomically} for a text that is already there, stored as UTF-8. */
export async function writeTextAtomically(path: string, text: string, options: AtomicWriteOptions = {}): Promise<void> {
  await writeFileAtomically(path, (write) => write(new TextEncoder().encode(text)), options);
}

/** Turns what the operating system says about a failed write into an error that names the file; others are returned as they are. */
export function explainWriteFailure(path: string, cause: unknown): unknown {
  const code = (cause as NodeJS.ErrnoException | null)?.code;
  const reason = code === undefined ? undefined : WRITE_FAILURES[code];
  return reason === undefined ? cause : new FormatError(`cannot write ${path}: ${reason.found}`, { cause, suggestions: [reason.hint] });
}

const FULL = { hint: 'free some space or write to another disk; nothing partial was left behind' };
const FORBIDDEN = { hint: 'choose an output folder you may write to' };
const WRITE_FAILURES: Readonly<Record<string, { found: string; hint: string }>> = {
  ENOSPC: { found: 'the disk is full (ENOSPC)', ...FULL },
  EDQUOT: { found: 'the disk quota is used up (EDQUOT)', ...FULL },
  EFBIG: { found: 'the file system takes no file of this size (EFBIG)', ...FULL },
  EACCES: { found: 'permission denied (EACCES)', ...FORBIDDEN },
  EPERM: { found: 'operation not permitted (EPERM)', ...FORBIDDEN },
  EROFS: { found: 'the file system is read-only (EROFS)', ...FORBIDDEN },
  ENOENT: { found: 'its folder does not exist (ENOENT)', ...FORBIDDEN },
  ENOTDIR: { found: 'a part of the path is a file, not a folder (ENOTDIR)', ...FORBIDDEN },
  EISDIR: { found: 'there is a folder of that name (EISDIR)', ...FORBIDDEN },
  EIO: { found: 'the disk reported an error (EIO)', hint: 'check the disk, then try again' },
};

/** Node takes less than 2 GiB at once. */
const BYTES_PER_WRITE = 256 * 2 ** 20;

function createFile(path: string): Promise<FileHandle> {
  return open(path, 'wx');
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, Math.min(bytes.length - done, BYTES_PER_WRITE));
    done += bytesWritten;
  }
}
