import { ShapeError } from '../errors.js';
import type { AtomicWriteOptions } from './atomic-write.js';
import { writeFileAtomically } from './atomic-write.js';
import { exactElements, formatShape } from './tensor-map.js';

/** A tensor to store: float32 as `F32`, int32 as `I32`; every bit is kept. */
export interface StoredTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array | Int32Array;
}

/** The data section starts at a multiple of this, so that mapped values are aligned. */
const ALIGNMENT = 8;

/**
 * Writes a safetensors file: tensors in the order given, the same input always giving the same bytes; complete or not at all.
 * @throws ShapeError when a shape and its values disagree or a name comes twice; FormatError when the disk is full or refuses.
 */
export async function writeSafetensors(
  path: string, tensors: Iterable<StoredTensor>, metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  await writeSafetensorsWith({ path, metadata }, tensors);
}

/** {@link writeSafetensors} with control over how the file is opened. */
export async function writeSafetensorsWith(
  target: AtomicWriteOptions & { readonly path: string; readonly metadata: Readonly<Record<string, string>> }, tensors: Iterable<StoredTensor>,
): Promise<void> {
  const list = [...tensors];
  const header = encodeHeader(list, target.metadata);
  await writeFileAtomically(target.path, async (write) => {
    await write(header);
    for (const { values } of list) await write(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }, target);
}

function encodeHeader(tensors: readonly StoredTensor[], metadata: Readonly<Record<string, string>>): Uint8Array {
  const entries = new Map<string, string>();
  if (Object.keys(metadata).length > 0) entries.set('__metadata__', JSON.stringify(metadata));
  let begin = 0;
  for (const tensor of tensors) {
    requireStorable(tensor, entries);
    const end = begin + tensor.values.byteLength;
    const dtype = tensor.values instanceof Float32Array ? 'F32' : 'I32';
    entries.set(tensor.name, JSON.stringify({ dtype, shape: tensor.shape, data_offsets: [begin, end] }));
    begin = end;
  }
  // Assembled as text: an object literal would reorder names that look like integers and lose one called __proto__.
  const json = `{${[...entries].map(([name, text]) => `${JSON.stringify(name)}:${text}`).join(',')}}`;
  const text = new TextEncoder().encode(json);
  const length = Math.ceil((8 + text.length) / ALIGNMENT) * ALIGNMENT - 8;
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(text, 8);
  return header;
}

function requireStorable(tensor: StoredTensor, seen: ReadonlyMap<string, string>): void {
  if (seen.has(tensor.name) || tensor.name === '__metadata__') throw new ShapeError(`tensor ${tensor.name} is given twice or has a reserved name`);
  if (exactElements(tensor.shape) !== BigInt(tensor.values.length)) {
    throw new ShapeError(`tensor ${tensor.name}: shape ${formatShape(tensor.shape)} needs ${exactElements(tensor.shape)} values, ${tensor.values.length} given`);
  }
}
