import type { ZipPart } from './zip-bytes.js';
import { zipBytes } from './zip-bytes.js';

/** Opcodes of Python's pickle, protocol 2, as byte lists to be joined. */
export const op = {
  proto: [0x80, 2], stop: [0x2e], mark: [0x28], none: [0x4e], false: [0x89], emptyTuple: [0x29], tuple: [0x74], emptyDict: [0x7d], emptyList: [0x5d],
  setItem: [0x73], setItems: [0x75], append: [0x61], reduce: [0x52], build: [0x62], persistentId: [0x51], pop: [0x30],
  global: (module: string, name: string) => [0x63, ...ascii(`${module}\n${name}\n`)],
  text: (value: string) => [0x58, ...u32(ascii(value).length), ...ascii(value)],
  int: (value: number) => [0x4a, ...u32(value)],
  put: (slot: number) => [0x71, slot],
  get: (slot: number) => [0x68, slot],
} as const;

/** One tensor as `_rebuild_tensor_v2` has it. */
export interface PickledTensor {
  readonly name: string;
  readonly storage: { readonly type: string; readonly key: string; readonly elements: number };
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** The pickle of a state dict, as torch.save writes it. `extra` is put in front of the first item. */
export function stateDictPickle(tensors: readonly PickledTensor[], extra: readonly number[] = []): Uint8Array {
  const items = tensors.flatMap((tensor) => [...op.text(tensor.name), ...pickledTensor(tensor)]);
  return Uint8Array.from([...op.proto, ...op.global('collections', 'OrderedDict'), ...op.emptyTuple, ...op.reduce, ...op.mark, ...extra, ...items, ...op.setItems, ...op.stop]);
}

export function pickledTensor({ storage, offset, shape, strides }: PickledTensor): readonly number[] {
  return [...op.global('torch._utils', '_rebuild_tensor_v2'), ...op.mark,
    ...op.mark, ...op.text('storage'), ...op.global('torch', storage.type), ...op.text(storage.key), ...op.text('cpu'), ...op.int(storage.elements), ...op.tuple, ...op.persistentId,
    ...op.int(offset), ...op.mark, ...shape.flatMap(op.int), ...op.tuple, ...op.mark, ...strides.flatMap(op.int), ...op.tuple, ...op.false,
    ...op.global('collections', 'OrderedDict'), ...op.emptyTuple, ...op.reduce, ...op.tuple, ...op.reduce];
}

/** A torch.save archive of a pickle and its storages. */
export function torchArchive(pickle: Uint8Array, storages: Readonly<Record<string, Uint8Array>>, options: { deflate?: boolean; zip64?: boolean; more?: readonly ZipPart[] } = {}): Uint8Array {
  const records = Object.entries(storages).map(([key, bytes]) => ({ name: `archive/data/${key}`, bytes, deflate: options.deflate ?? false }));
  return zipBytes([{ name: 'archive/data.pkl', bytes: pickle }, ...records, ...(options.more ?? [])], { zip64: options.zip64 ?? false });
}

function ascii(text: string): readonly number[] {
  return [...new TextEncoder().encode(text)];
}

function u32(value: number): readonly number[] {
  return [0, 8, 16, 24].map((shift) => (value >> shift) & 0xff);
}
