import { createHash } from 'node:crypto';
import { fileSize, readFileChunks } from './file-bytes.js';

/** A file's size and the two hashes the Hub knows files by. */
export interface ContentHashes {
  readonly sizeBytes: number;
  readonly sha256: string;
  /** SHA-1 of `blob SIZE\0` and the content: the name git gives it. */ readonly gitSha1: string;
}

const BYTES_PER_PIECE = 8 * 2 ** 20;

/** Hashes a file in one pass. @param onBytes hears how many bytes are done; what it throws ends the pass. @throws FormatError when it cannot be read. */
export async function hashContent(path: string, onBytes: (done: number, total: number) => void): Promise<ContentHashes> {
  const sizeBytes = await fileSize(path);
  const sha256 = createHash('sha256');
  const gitSha1 = createHash('sha1').update(`blob ${sizeBytes}\0`);
  let done = 0;
  for await (const piece of readFileChunks(path, { start: 0, length: sizeBytes }, BYTES_PER_PIECE)) {
    sha256.update(piece);
    gitSha1.update(piece);
    onBytes(done += piece.length, sizeBytes);
  }
  return { sizeBytes, sha256: sha256.digest('hex'), gitSha1: gitSha1.digest('hex') };
}

/** True when the content is the one the Hub names: a SHA-256 of 64 digits or a git SHA-1 of 40. */
export function hasHash(content: ContentHashes, hash: string): boolean {
  return hash === (hash.length === 64 ? content.sha256 : content.gitSha1);
}
