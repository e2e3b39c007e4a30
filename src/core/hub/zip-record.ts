import { crc32, inflateRawSync } from 'node:zlib';
import { FormatError } from '../errors.js';
import { readFileRange } from './file-bytes.js';
import type { ZipDirectory, ZipEntry } from './zip-directory.js';

const LOCAL_SIGNATURE = 0x04034b50;
const LOCAL_BYTES = 30;
/** zlib takes at most 2^32 − 1 bytes at once. */
const CRC_STEP = 2 ** 30;

/**
 * Reads one record whole, inflating it where it is deflated; the caller has compared `entry.bytes` with what it expects.
 * @throws FormatError when the record lies outside the archive, inflates to another size or fails its CRC.
 */
export async function readZipRecord(directory: ZipDirectory, entry: ZipEntry): Promise<Uint8Array> {
  const where = `${directory.path}: record ${entry.name}`;
  const start = await findData(directory, entry, where);
  const stored = await readFileRange(directory.path, { start, length: entry.storedBytes });
  const bytes = entry.method === 'stored' ? stored : inflate(where, stored, entry.bytes);
  if (bytes.length !== entry.bytes) throw new FormatError(`${where}: ${bytes.length} bytes found, ${entry.bytes} announced`);
  if (checksum(bytes) !== entry.crc32) {
    throw new FormatError(`${where}: CRC mismatch, the file is damaged`, {
      suggestions: ['download or copy the file again', 'if it was saved with torch.serialization.set_crc32_options(False): save it as safetensors'],
    });
  }
  return bytes;
}

async function findData(directory: ZipDirectory, entry: ZipEntry, where: string): Promise<number> {
  if (entry.headerOffset + LOCAL_BYTES > directory.directoryOffset) throw new FormatError(`${where}: lies outside the archive`);
  const header = await readFileRange(directory.path, { start: entry.headerOffset, length: LOCAL_BYTES });
  const view = new DataView(header.buffer);
  if (view.getUint32(0, true) !== LOCAL_SIGNATURE) throw new FormatError(`${where}: its header is damaged`);
  const start = entry.headerOffset + LOCAL_BYTES + view.getUint16(26, true) + view.getUint16(28, true);
  if (start + entry.storedBytes > directory.directoryOffset) throw new FormatError(`${where}: runs over the end of the archive: truncated`);
  return start;
}

/** Stops as soon as the output is longer than announced, so memory is bounded by what the caller accepted. */
function inflate(where: string, stored: Uint8Array, bytes: number): Uint8Array {
  try {
    return inflateRawSync(stored, { maxOutputLength: Math.max(bytes, 1) });
  } catch (cause) {
    const isLonger = (cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE';
    throw new FormatError(`${where}: ${isLonger ? `inflates to more than the ${bytes} bytes announced` : 'deflated data is damaged'}`, { cause });
  }
}

function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += CRC_STEP) sum = crc32(bytes.subarray(at, at + CRC_STEP), sum);
  return sum;
}
