import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from 'hyparquet';
import type { AsyncBuffer, FileMetaData } from 'hyparquet';

import { FormatError } from '../../errors.js';
import type { Row, TaskDocument } from './documents.js';

/** More rows than any benchmark split has; a damaged count must not fill the memory. */
const MAX_ROWS = 5_000_000;

/** Reads all rows of a Parquet file, uncompressed or Snappy. Whole numbers of 64 bits become numbers. @throws FormatError naming file and reason. */
export async function readParquetRows(path: string): Promise<TaskDocument[]> {
  const file = await openParquet(path);
  const metadata = await attempt(path, () => parquetMetadataAsync(file));
  const count = Number(metadata.num_rows);
  if (!(count <= MAX_ROWS)) throw new FormatError(`${path} says it has ${metadata.num_rows} rows, at most ${MAX_ROWS} are read`);
  checkCodecs(metadata, path);
  const rows = await attempt(path, () => parquetReadObjects({ file, metadata }));
  if (rows.length !== count) throw new FormatError(`${path} holds ${rows.length} of its ${count} rows: it may be cut short`, DOWNLOAD_AGAIN);
  return rows.map((row, i) => ({ row: plain(row) as Row, place: `${path}, row ${i + 1}` }));
}

const DOWNLOAD_AGAIN = { suggestions: ['Fetch the file again: it may be cut short, or a Git-LFS pointer in place of the file'] };

async function openParquet(path: string): Promise<AsyncBuffer> {
  return asyncBufferFromFile(path).catch((cause: NodeJS.ErrnoException) => {
    throw new FormatError(`${path} cannot be read (${cause.code})`, { cause });
  });
}

/** Whatever the reader stumbles over is the file's fault. */
async function attempt<Result>(path: string, read: () => Promise<Result>): Promise<Result> {
  try {
    return await read();
  } catch (cause) {
    throw new FormatError(`${path} is not a whole Parquet file: ${(cause as Error).message}`, { cause, ...DOWNLOAD_AGAIN });
  }
}

function checkCodecs({ row_groups: groups }: FileMetaData, path: string): void {
  for (const { columns } of groups) {
    for (const { meta_data: column } of columns) {
      if (column === undefined || column.codec === 'UNCOMPRESSED' || column.codec === 'SNAPPY') continue;
      throw new FormatError(`${path} is compressed with ${column.codec}; Snappy and uncompressed files are read`, {
        suggestions: ['Write it again with compression="snappy", or as JSON Lines'],
      });
    }
  }
}

/** JSON's own kinds: big integers become numbers, dates text, typed arrays lists. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value);
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return Array.from(value as ArrayLike<unknown>, plain);
  if (typeof value === 'object' && value !== null) return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, plain(member)]));
  return value;
}
