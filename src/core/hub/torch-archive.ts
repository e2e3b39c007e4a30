import { FormatError } from '../errors.js';
import { readPickle } from './pickle-machine.js';
import type { TensorMap } from './tensor-map.js';
import { BYTES_PER_ELEMENT } from './tensor-map.js';
import type { TorchTensor } from './torch-pickle.js';
import { requireStateDict, torchHooks } from './torch-pickle.js';
import type { StorageSource } from './torch-views.js';
import { openView } from './torch-views.js';
import type { ZipDirectory, ZipEntry } from './zip-directory.js';
import { readZipDirectory } from './zip-directory.js';
import { readZipRecord } from './zip-record.js';

/** A state dict's pickle has some 300 bytes per tensor. */
export const MAX_PICKLE_BYTES = 16 * 2 ** 20;
/** The record holds the word `little` or `big`. */
const MAX_BYTE_ORDER_BYTES = 16;

/**
 * Opens a state dict saved by torch ≥ 1.6: a zip with `NAME/data.pkl` and one record `NAME/data/KEY` per storage.
 * @throws FormatError when the archive, its pickle or a storage is not what a plain state dict has.
 */
export async function openTorchArchive(path: string): Promise<TensorMap> {
  const directory = await readZipDirectory(path);
  const root = findRoot(directory);
  await requireLittleEndian(directory, root);
  const pickle = directory.entries.get(`${root}data.pkl`)!;
  if (pickle.bytes > MAX_PICKLE_BYTES) throw new FormatError(`${path}: ${pickle.name} has ${pickle.bytes} bytes, at most ${MAX_PICKLE_BYTES} expected`);
  const bytes = await readZipRecord(directory, pickle);
  const { value } = readPickle({ file: path, bytes, start: 0 }, torchHooks(5));
  const tensors = requireStateDict(path, value);
  for (const [name, tensor] of tensors) requireStorage({ directory, root }, name, tensor);
  const source = archiveSource(directory, root);
  return new Map([...tensors].map(([name, tensor]) => [name, openView(name, tensor, source)]));
}

function findRoot(directory: ZipDirectory): string {
  const pickles = [...directory.entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (pickles.length === 0) throw new FormatError(`${directory.path}: no data.pkl in the archive: not a PyTorch checkpoint`);
  if (pickles.length > 1) throw new FormatError(`${directory.path}: several data.pkl in the archive: ${pickles.slice(0, 3).join(', ')}`);
  return pickles[0]!.slice(0, -'data.pkl'.length);
}

async function requireLittleEndian(directory: ZipDirectory, root: string): Promise<void> {
  const entry = directory.entries.get(`${root}byteorder`);
  if (entry === undefined) return; // torch before 2.1 wrote none
  const text = entry.bytes > MAX_BYTE_ORDER_BYTES ? '?' : new TextDecoder().decode(await readZipRecord(directory, entry));
  if (text !== 'little') throw new FormatError(`${directory.path}: byte order is ${JSON.stringify(text)}; only "little" is read`);
}

function requireStorage(archive: { directory: ZipDirectory; root: string }, name: string, tensor: TorchTensor): void {
  const { key, elements, dtype } = tensor.storage;
  const where = `${archive.directory.path}: tensor ${name}`;
  if (!/^[0-9]{1,10}$/.test(key)) throw new FormatError(`${where}: storage key ${JSON.stringify(key)} is not a record of this archive`);
  const entry = archive.directory.entries.get(`${archive.root}data/${key}`);
  if (entry === undefined) throw new FormatError(`${where}: storage record data/${key} is not in the archive`);
  const expected = elements * BYTES_PER_ELEMENT[dtype];
  if (entry.bytes === expected) return;
  const refused = entry.method === 'deflated' ? ': refused without inflating it' : '';
  throw new FormatError(`${where}: storage record data/${key} has ${entry.bytes} bytes, ${expected} expected${refused}`);
}

/** Keeps the record read last: views of one storage usually follow each other. */
function archiveSource(directory: ZipDirectory, root: string): StorageSource {
  let last: { entry: ZipEntry; bytes: Promise<Uint8Array> } | null = null;
  return {
    file: directory.path,
    read: async ({ key }, range) => {
      const entry = directory.entries.get(`${root}data/${key}`)!;
      if (last?.entry !== entry) last = { entry, bytes: readZipRecord(directory, entry) };
      return (await last.bytes).subarray(range.start, range.start + range.length);
    },
  };
}
