import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { FormatError } from '../errors.js';
import { fileSize, readFileRange } from './file-bytes.js';
import { jsonKind, parseStrictJson } from './strict-json.js';
import type { TensorEntry, TensorMap } from './tensor-map.js';
import { BYTES_PER_ELEMENT, exactElements } from './tensor-map.js';

/** An index of the largest OPT (66B, 16 shards) has about 100 kB. */
const MAX_INDEX_BYTES = 32 * 2 ** 20;

/** Which shard holds which tensor. */
export interface ShardIndex {
  readonly path: string;
  /** Shard file name → tensor names, shards in sorted order. */ readonly shards: ReadonlyMap<string, readonly string[]>;
  /** Bytes of all tensors, where the index tells. */ readonly totalBytes: number | null;
}

/**
 * Reads `*.index.json`; a shard must be a plain name of a file in the same folder.
 * @throws FormatError naming the shard that leaves the folder or is not there.
 */
export async function readShardIndex(folder: string, name: string): Promise<ShardIndex> {
  const path = join(folder, name);
  const bytes = await fileSize(path);
  if (bytes > MAX_INDEX_BYTES) throw new FormatError(`${path} has ${bytes} bytes, at most ${MAX_INDEX_BYTES} expected`);
  const root = parseStrictJson(await readFileRange(path, { start: 0, length: bytes }), path);
  if (!(root instanceof Map)) throw new FormatError(`${path} must be an object, found ${jsonKind(root)}`);
  const weightMap: unknown = root.get('weight_map');
  if (weightMap === undefined) throw new FormatError(`${path}: weight_map is missing`);
  if (!(weightMap instanceof Map)) throw new FormatError(`${path}: weight_map must be an object, found ${jsonKind(weightMap)}`);
  const shards = groupByShard(path, weightMap as ReadonlyMap<string, unknown>);
  await requireShards(folder, path, shards);
  const metadata: unknown = root.get('metadata');
  const totalBytes: unknown = metadata instanceof Map ? metadata.get('total_size') : undefined;
  return { path, shards, totalBytes: typeof totalBytes === 'number' ? totalBytes : null };
}

/**
 * Opens every shard and joins their tensors; index and shards must name the same ones.
 * @param openShard opens one file. @throws FormatError naming the tensor and the shard.
 */
export async function openShards(
  folder: string, index: ShardIndex, openShard: (path: string) => Promise<TensorMap>,
): Promise<{ tensors: TensorMap; notices: readonly string[] }> {
  const tensors = new Map<string, TensorEntry>();
  const opened: [string, TensorMap][] = [];
  for (const [shard, listed] of index.shards) {
    const found = await openShard(join(folder, shard));
    opened.push([shard, found]);
    for (const name of listed) {
      const entry = found.get(name);
      if (entry === undefined) throw new FormatError(`${index.path}: ${name} is not in ${shard}, where the index puts it`);
      tensors.set(name, entry);
    }
  }
  for (const [shard, found] of opened) {
    for (const [name, entry] of found) {
      if (tensors.get(name) !== entry) throw new FormatError(`${index.path}: ${name} of ${shard} is missing from weight_map`);
    }
  }
  return { tensors, notices: sizeNotices(index, tensors) };
}

function groupByShard(path: string, weightMap: ReadonlyMap<string, unknown>): ReadonlyMap<string, readonly string[]> {
  const shards = new Map<string, string[]>();
  for (const [tensor, shard] of weightMap) {
    if (typeof shard !== 'string') throw new FormatError(`${path}: weight_map of ${tensor} must be a file name, found ${jsonKind(shard)}`);
    requirePlainName(path, shard);
    const listed = shards.get(shard);
    if (listed === undefined) shards.set(shard, [tensor]);
    else listed.push(tensor);
  }
  if (shards.size === 0) throw new FormatError(`${path}: weight_map is empty`);
  return new Map([...shards].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function requirePlainName(path: string, shard: string): void {
  if (/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(shard)) return;
  const isAbsolute = /^(?:[\\/]|[A-Za-z]:)/.test(shard);
  throw new FormatError(`${path}: ${isAbsolute ? 'absolute shard name' : 'shard name'} ${JSON.stringify(shard)} ${isAbsolute ? 'refused' : 'leaves the folder or is no plain file name'} (file not opened)`);
}

async function requireShards(folder: string, path: string, shards: ReadonlyMap<string, readonly string[]>): Promise<void> {
  for (const [shard, tensors] of shards) {
    const isThere = await access(join(folder, shard)).then(() => true, () => false);
    if (!isThere) {
      throw new FormatError(`${path}: ${shard} is named by the index but missing (${tensors.length} tensors)`, { suggestions: ['copy or download every shard'] });
    }
  }
}

function sizeNotices(index: ShardIndex, tensors: TensorMap): readonly string[] {
  if (index.totalBytes === null) return [];
  const bytes = [...tensors.values()].reduce((sum, { shape, dtype }) => sum + exactElements(shape) * BigInt(BYTES_PER_ELEMENT[dtype]), 0n);
  return bytes === BigInt(Math.trunc(index.totalBytes)) ? [] : [`${index.path}: total_size says ${index.totalBytes} bytes, the tensors have ${bytes}`];
}
