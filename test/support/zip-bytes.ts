import { crc32, deflateRawSync } from 'node:zlib';

export interface ZipPart {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly deflate?: boolean;
  /** What the directory claims, where that differs from the truth. */ readonly claim?: { readonly bytes?: number; readonly crc32?: number };
}

/** A zip archive written after the format's description (APPNOTE 4.3), independent of the reader. */
export function zipBytes(parts: readonly ZipPart[], options: { zip64?: boolean } = {}): Uint8Array {
  const chunks: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let offset = 0;
  for (const part of parts) {
    const stored = part.deflate === true ? deflateRawSync(part.bytes) : part.bytes;
    const name = new TextEncoder().encode(part.name);
    const method = part.deflate === true ? 8 : 0;
    const sum = part.claim?.crc32 ?? crc32(part.bytes);
    const bytes = part.claim?.bytes ?? part.bytes.length;
    const local = fields([[0x04034b50, 4], [20, 2], [0, 2], [method, 2], [0, 4], [sum, 4], [stored.length, 4], [bytes, 4], [name.length, 2], [0, 2]]);
    chunks.push(local, name, stored);
    const wide = options.zip64 === true;
    const extra = wide ? fields([[1, 2], [24, 2], [bytes, 8], [stored.length, 8], [offset, 8]]) : new Uint8Array();
    const size = (value: number): number => (wide ? 0xffffffff : value);
    directory.push(fields([[0x02014b50, 4], [20, 2], [20, 2], [0, 2], [method, 2], [0, 4], [sum, 4], [size(stored.length), 4], [size(bytes), 4],
      [name.length, 2], [extra.length, 2], [0, 2], [0, 2], [0, 2], [0, 4], [size(offset), 4]]), name, extra);
    offset += local.length + name.length + stored.length;
  }
  const directoryBytes = directory.reduce((sum, chunk) => sum + chunk.length, 0);
  const end64 = offset + directoryBytes;
  if (options.zip64 === true) {
    directory.push(fields([[0x06064b50, 4], [44, 8], [45, 2], [45, 2], [0, 4], [0, 4], [parts.length, 8], [parts.length, 8], [directoryBytes, 8], [offset, 8]]),
      fields([[0x07064b50, 4], [0, 4], [end64, 8], [1, 4]]));
  }
  const [count, length, start] = options.zip64 === true ? [0xffff, 0xffffffff, 0xffffffff] : [parts.length, directoryBytes, offset];
  const end = fields([[0x06054b50, 4], [0, 2], [0, 2], [count, 2], [count, 2], [length, 4], [start, 4], [0, 2]]);
  return new Uint8Array(Buffer.concat([...chunks, ...directory, end]));
}

/** Little-endian numbers of the given widths, one after the other. */
function fields(list: readonly (readonly [value: number, bytes: number])[]): Uint8Array {
  return Uint8Array.from(list.flatMap(([value, bytes]) => Array.from({ length: bytes }, (_, i) => Number((BigInt(value) >> BigInt(8 * i)) & 0xffn))));
}
