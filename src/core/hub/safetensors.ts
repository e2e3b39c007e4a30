import { FormatError } from '../errors.js';
import { fileSize, readFileChunks, readFileRange } from './file-bytes.js';
import { decodeFloats } from './float-formats.js';
import { FOREIGN_HEAD_BYTES, refuseForeignFile } from './foreign-file.js';
import type { HeaderTensor, SafetensorsHeader } from './safetensors-header.js';
import { parseSafetensorsHeader } from './safetensors-header.js';
import type { TensorEntry, TensorMap } from './tensor-map.js';
import { BYTES_PER_ELEMENT, requireFloatDtype } from './tensor-map.js';

export type { TensorDtype, TensorEntry, TensorMap } from './tensor-map.js';
export { writeSafetensors } from './safetensors-writer.js';

/** Bytes of the little-endian header length every file starts with. */
const LENGTH_BYTES = 8;
/** The format's own maximum; a header of a thousand tensors has about 100 kB. */
const MAX_HEADER_BYTES = 100_000_000;
/** Converted at once, a multiple of every element size: bounds the memory beside the result. */
const CHUNK_BYTES = 8 * 2 ** 20;

/**
 * Opens a safetensors file: checks its header completely, reads no values yet.
 * @throws FormatError naming the tensor and the offsets that do not fit.
 */
export async function openSafetensors(path: string): Promise<TensorMap> {
  const { header, dataStart } = await readSafetensorsHeader(path);
  return new Map(header.tensors.map((tensor) => [tensor.name, lazyTensor({ path, dataStart }, tensor)]));
}

/** Reads and checks only the header of a safetensors file. @throws FormatError */
export async function readSafetensorsHeader(path: string): Promise<{ header: SafetensorsHeader; dataStart: number }> {
  const bytes = await fileSize(path);
  if (bytes === 0) throw new FormatError(`${path}: file is empty (0 bytes); a safetensors file starts with an 8-byte header length`);
  if (bytes < LENGTH_BYTES) throw new FormatError(`${path}: file has ${bytes} bytes, at least ${LENGTH_BYTES} expected`);
  const head = await readFileRange(path, { start: 0, length: Math.min(bytes, FOREIGN_HEAD_BYTES) });
  refuseForeignFile(path, head);
  // Compared as a 64-bit integer: 2^64 − 1 must neither round nor wrap.
  const announced = new DataView(head.buffer).getBigUint64(0, true);
  if (announced > BigInt(bytes - LENGTH_BYTES)) {
    throw new FormatError(`${path}: header length ${announced} exceeds the file size: the header should end at byte ${announced + BigInt(LENGTH_BYTES)}, `
      + `the file ends after ${bytes} (${bytes - LENGTH_BYTES} bytes of header): truncated or not safetensors`, {
      suggestions: ['download or copy the file again'],
    });
  }
  if (announced > BigInt(MAX_HEADER_BYTES)) throw new FormatError(`${path}: header length ${announced} is over the format's limit of ${MAX_HEADER_BYTES}`);
  const length = Number(announced);
  const text = await readFileRange(path, { start: LENGTH_BYTES, length });
  const dataStart = LENGTH_BYTES + length;
  return { header: parseSafetensorsHeader(text, { file: path, dataBytes: bytes - dataStart }), dataStart };
}

function lazyTensor(file: { path: string; dataStart: number }, tensor: HeaderTensor): TensorEntry {
  const { name, dtype, shape } = tensor;
  return { name, dtype, shape, readFloat32: () => readValues(file, tensor) };
}

async function readValues(file: { path: string; dataStart: number }, tensor: HeaderTensor): Promise<Float32Array> {
  requireFloatDtype(tensor);
  const size = BYTES_PER_ELEMENT[tensor.dtype];
  const out = new Float32Array((tensor.end - tensor.begin) / size);
  let offset = 0;
  const range = { start: file.dataStart + tensor.begin, length: tensor.end - tensor.begin };
  for await (const chunk of readFileChunks(file.path, range, CHUNK_BYTES)) {
    decodeFloats(chunk, tensor.dtype, { out, offset });
    offset += chunk.length / size;
  }
  return out;
}
