import { FormatError } from '../errors.js';
import { decodeFloats } from './float-formats.js';
import type { ByteRange } from './file-bytes.js';
import type { TensorEntry } from './tensor-map.js';
import { BYTES_PER_ELEMENT, exactElements, formatShape, MAX_TENSOR_ELEMENTS, requireFloatDtype } from './tensor-map.js';
import type { TorchTensor } from './torch-pickle.js';

/** Where a file keeps its storages' bytes. */
export interface StorageSource {
  readonly file: string;
  /** Bytes `range` of the storage, checked to exist when the file was opened. */
  read(storage: { readonly key: string; readonly bytes: number }, range: ByteRange): Promise<Uint8Array>;
}

/** PyTorch itself allows 64 axes; weights have at most five. */
const MAX_RANK = 16;

/**
 * A tensor of a state dict as a lazy entry, its view checked against the storage it lies in.
 * @throws FormatError naming the tensor when offset, strides or shape leave the storage or ask for more elements than it has.
 */
export function openView(name: string, tensor: TorchTensor, source: StorageSource): TensorEntry {
  const { storage, offset, view: { shape, strides } } = tensor;
  const where = `${source.file}: tensor ${name}`;
  if (shape.length > MAX_RANK) throw new FormatError(`${where}: ${shape.length} dimensions, at most ${MAX_RANK} expected`);
  if (shape.length !== strides.length) throw new FormatError(`${where}: ${shape.length} dimensions but ${strides.length} strides`);
  if (offset < 0) throw new FormatError(`${where}: negative storage offset ${offset}`);
  if (shape.some((size) => size < 0)) throw new FormatError(`${where}: negative dimension in ${formatShape(shape)}`);
  if (strides.some((stride) => stride < 0)) throw new FormatError(`${where}: negative stride in ${formatShape(strides)}`);
  const elements = exactElements(shape);
  if (elements > BigInt(Math.min(storage.elements, MAX_TENSOR_ELEMENTS))) {
    throw new FormatError(`${where}: ${elements} elements over a storage of ${storage.elements}: refused before allocation`);
  }
  const span = elements === 0n ? 0n : shape.reduce((end, size, axis) => end + BigInt(size - 1) * BigInt(strides[axis]!), 1n);
  const end = BigInt(offset) + span;
  if (end > BigInt(storage.elements)) throw new FormatError(`${where}: view ends at element ${end}, storage has ${storage.elements}`);
  return { name, dtype: storage.dtype, shape, readFloat32: () => readView(name, { tensor, span: Number(span) }, source) };
}

async function readView(name: string, view: { tensor: TorchTensor; span: number }, source: StorageSource): Promise<Float32Array> {
  const { storage, offset, view: { shape, strides } } = view.tensor;
  requireFloatDtype({ name, dtype: storage.dtype });
  const size = BYTES_PER_ELEMENT[storage.dtype];
  const bytes = await source.read({ key: storage.key, bytes: storage.elements * size }, { start: offset * size, length: view.span * size });
  const values = new Float32Array(view.span);
  decodeFloats(bytes, storage.dtype, { out: values, offset: 0 });
  return isContiguous(shape, strides) ? values : gather(values, shape, strides);
}

/** Row-major without gaps; strides of axes of length 1 are never used. */
function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return false;
    expected *= shape[axis]!;
  }
  return true;
}

/** Walks the view in row-major order; `index` counts like an odometer, the last axis fastest. */
function gather(values: Float32Array, shape: readonly number[], strides: readonly number[]): Float32Array {
  const out = new Float32Array(Number(exactElements(shape)));
  // Bits, not numbers: a NaN's payload survives.
  const from = new Uint32Array(values.buffer);
  const to = new Uint32Array(out.buffer);
  const index = shape.map(() => 0);
  for (let i = 0, at = 0; i < to.length; i += 1) {
    to[i] = from[at]!;
    for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
      at += strides[axis]!;
      index[axis]! += 1;
      if (index[axis]! < shape[axis]!) break;
      at -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return out;
}
