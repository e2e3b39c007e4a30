import { FormatError } from '../errors.js';
import { fileSize, readFileRange } from './file-bytes.js';
import { readPickle } from './pickle-machine.js';
import type { PickleValue } from './pickle-values.js';
import { describePickle, PickleDict, PickleList } from './pickle-values.js';
import type { TensorMap } from './tensor-map.js';
import { BYTES_PER_ELEMENT } from './tensor-map.js';
import { MAX_PICKLE_BYTES } from './torch-archive.js';
import type { TorchTensor } from './torch-pickle.js';
import { requireStateDict, torchHooks } from './torch-pickle.js';
import { openView } from './torch-views.js';

/** First pickle of every file. */
const MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL = 1001;
/** Each storage's bytes follow its element count. */
const COUNT_BYTES = 8;

/**
 * Opens a state dict saved by torch < 1.6: five pickles (magic number, protocol, system, state dict, storage keys), then per key
 * an element count and the elements.
 * @throws FormatError when a part is not what a plain state dict has.
 */
export async function openTorchLegacy(path: string): Promise<TensorMap> {
  const size = await fileSize(path);
  const bytes = await readFileRange(path, { start: 0, length: Math.min(size, MAX_PICKLE_BYTES) });
  const { state, keys, dataStart } = readPickles(path, bytes);
  const tensors = requireStateDict(path, state);
  const starts = await locateStorages({ path, size, dataStart }, keys, tensors);
  const source = {
    file: path,
    read: ({ key }: { key: string }, range: { start: number; length: number }) => readFileRange(path, { start: starts.get(key)! + range.start, length: range.length }),
  };
  return new Map([...tensors].map(([name, tensor]) => [name, openView(name, tensor, source)]));
}

/** Whether these first bytes are the legacy format's magic pickle. */
export function isTorchLegacy(head: Uint8Array): boolean {
  const magic = [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e];
  return magic.every((byte, i) => head[i] === byte);
}

function readPickles(path: string, bytes: Uint8Array): { state: PickleValue; keys: readonly string[]; dataStart: number } {
  const hooks = torchHooks(6);
  const values: PickleValue[] = [];
  let start = 0;
  for (let i = 0; i < 5; i += 1) {
    const { value, end } = readPickle({ file: path, bytes, start }, hooks);
    values.push(value);
    start = end;
  }
  const [magic, protocol, system, state, keys] = values;
  if (magic !== MAGIC) throw new FormatError(`${path}: wrong magic number ${describePickle(magic)}`);
  if (protocol !== PROTOCOL) throw new FormatError(`${path}: protocol is ${describePickle(protocol)}, ${PROTOCOL} expected`);
  if (!(system instanceof PickleDict) || system.entries.get('little_endian') !== true) throw new FormatError(`${path}: only little-endian files are read`);
  if (!(keys instanceof PickleList)) throw new FormatError(`${path}: storage keys are ${describePickle(keys)}, a list expected`);
  return { state: state!, keys: keys.items.map((key) => requireKey(path, key)), dataStart: start };
}

function requireKey(path: string, key: PickleValue): string {
  if (typeof key !== 'string') throw new FormatError(`${path}: a storage key is ${describePickle(key)}, a string expected`);
  return key;
}

/** First byte of every storage's elements; each storage's announced size must agree with the tensors that use it. */
async function locateStorages(
  file: { path: string; size: number; dataStart: number }, keys: readonly string[], tensors: ReadonlyMap<string, TorchTensor>,
): Promise<ReadonlyMap<string, number>> {
  const storages = new Map([...tensors.values()].map(({ storage }) => [storage.key, storage]));
  const starts = new Map<string, number>();
  let at = file.dataStart;
  for (const key of keys) {
    const storage = storages.get(key);
    if (storage === undefined) throw new FormatError(`${file.path}: storage ${JSON.stringify(key)} belongs to no tensor`);
    if (at + COUNT_BYTES > file.size) throw new FormatError(`${file.path}: ends before storage ${JSON.stringify(key)}: truncated`);
    const count = new DataView((await readFileRange(file.path, { start: at, length: COUNT_BYTES })).buffer).getBigInt64(0, true);
    if (count !== BigInt(storage.elements)) throw new FormatError(`${file.path}: storage ${JSON.stringify(key)} has ${count} elements, ${storage.elements} expected`);
    starts.set(key, at + COUNT_BYTES);
    at += COUNT_BYTES + storage.elements * BYTES_PER_ELEMENT[storage.dtype];
    if (at > file.size) throw new FormatError(`${file.path}: ends inside storage ${JSON.stringify(key)}: truncated`);
  }
  for (const [name, { storage }] of tensors) {
    if (!starts.has(storage.key)) throw new FormatError(`${file.path}: tensor ${name}: storage ${JSON.stringify(storage.key)} is not in the file`);
    if (storages.get(storage.key)!.elements !== storage.elements || storages.get(storage.key)!.dtype !== storage.dtype) {
      throw new FormatError(`${file.path}: tensor ${name}: storage ${JSON.stringify(storage.key)} is described in two ways`);
    }
  }
  return starts;
}
