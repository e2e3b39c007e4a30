import { FormatError } from '../errors.js';
import type { TensorDtype } from './tensor-map.js';
import { BYTES_PER_ELEMENT, exactElements, formatShape, isTensorDtype, MAX_TENSOR_ELEMENTS } from './tensor-map.js';
import type { StrictJson, StrictJsonObject } from './strict-json.js';
import { jsonKind, parseStrictJson } from './strict-json.js';

/** Where one tensor lies; offsets count from the start of the data section. */
export interface HeaderTensor {
  readonly name: string;
  readonly dtype: TensorDtype;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  readonly tensors: readonly HeaderTensor[];
  readonly metadata: ReadonlyMap<string, string>;
}

/** No model has more axes; the limit keeps products of dimensions short. */
const MAX_RANK = 16;

/**
 * Checks a safetensors header completely: types, sizes, and that the tensors tile the data section without gap or overlap.
 * @param bytes the JSON text. @param source file name and size of its data section in bytes.
 * @throws FormatError naming the tensor and what is wrong with it.
 */
export function parseSafetensorsHeader(bytes: Uint8Array, source: { file: string; dataBytes: number }): SafetensorsHeader {
  const { file, dataBytes } = source;
  const root = parseStrictJson(bytes, `${file}: header`);
  if (!isObject(root)) throw new FormatError(`${file}: header must be a JSON object, found ${jsonKind(root)}`);
  const tensors: HeaderTensor[] = [];
  for (const [name, value] of root) {
    if (name !== '__metadata__') tensors.push(parseTensor(`${file}: tensor ${name}`, name, value));
  }
  requireTiling(file, tensors, dataBytes);
  return { tensors, metadata: parseMetadata(file, root.get('__metadata__')) };
}

function parseTensor(where: string, name: string, value: StrictJson): HeaderTensor {
  if (!isObject(value)) throw new FormatError(`${where} must be described by an object, found ${jsonKind(value)}`);
  for (const key of value.keys()) {
    if (!['dtype', 'shape', 'data_offsets'].includes(key)) throw new FormatError(`${where}: unknown key ${JSON.stringify(key)}`);
  }
  const dtype = parseDtype(where, value.get('dtype'));
  const shape = parseShape(where, value.get('shape'));
  const { begin, end } = parseOffsets(where, value.get('data_offsets'));
  const needed = exactElements(shape) * BigInt(BYTES_PER_ELEMENT[dtype]);
  if (needed !== BigInt(end - begin)) {
    throw new FormatError(`${where}: shape ${formatShape(shape)} of ${dtype} needs ${needed} bytes, data_offsets give ${end - begin}`);
  }
  if (exactElements(shape) > BigInt(MAX_TENSOR_ELEMENTS)) {
    throw new FormatError(`${where}: ${exactElements(shape)} elements, at most ${MAX_TENSOR_ELEMENTS} are read`);
  }
  return { name, dtype, shape, begin, end };
}

function parseDtype(where: string, value: StrictJson | undefined): TensorDtype {
  if (typeof value !== 'string') throw new FormatError(`${where}: dtype ${value === undefined ? 'missing' : `must be a string, found ${jsonKind(value)}`}`);
  if (!isTensorDtype(value)) throw new FormatError(`${where}: unknown dtype ${JSON.stringify(value)}, known: ${Object.keys(BYTES_PER_ELEMENT).join(', ')}`);
  return value;
}

function parseShape(where: string, value: StrictJson | undefined): readonly number[] {
  if (value === undefined) throw new FormatError(`${where}: shape missing`);
  if (!Array.isArray(value)) throw new FormatError(`${where}: shape must be an array, found ${jsonKind(value)}`);
  if (value.length > MAX_RANK) throw new FormatError(`${where}: ${value.length} dimensions, at most ${MAX_RANK} expected`);
  return value.map((dimension: StrictJson) => {
    if (typeof dimension !== 'number') throw new FormatError(`${where}: shape must hold integers, found ${jsonKind(dimension)}`);
    if (!Number.isSafeInteger(dimension)) throw new FormatError(`${where}: dimension ${dimension} is not an integer below 2^53`);
    if (dimension < 0) throw new FormatError(`${where}: dimension ${dimension} is negative`);
    return dimension;
  });
}

function parseOffsets(where: string, value: StrictJson | undefined): { begin: number; end: number } {
  if (value === undefined) throw new FormatError(`${where}: data_offsets missing`);
  if (!Array.isArray(value) || value.length !== 2) throw new FormatError(`${where}: data_offsets must be two integers`);
  const [begin, end] = value as readonly StrictJson[];
  if (!Number.isSafeInteger(begin) || !Number.isSafeInteger(end)) throw new FormatError(`${where}: data_offsets must be two integers below 2^53`);
  const offsets = { begin: begin as number, end: end as number };
  if (offsets.begin < 0 || offsets.end < 0) throw new FormatError(`${where}: negative offset ${Math.min(offsets.begin, offsets.end)}`);
  if (offsets.end < offsets.begin) throw new FormatError(`${where}: data_offsets [${begin},${end}] run backwards`);
  return offsets;
}

function requireTiling(file: string, tensors: readonly HeaderTensor[], dataBytes: number): void {
  const inOrder = [...tensors].sort((a, b) => a.begin - b.begin || a.end - b.end);
  let previous: HeaderTensor | null = null;
  for (const tensor of inOrder) {
    const expected: number = previous?.end ?? 0;
    if (tensor.begin < expected) {
      throw new FormatError(`${file}: tensors ${previous?.name} and ${tensor.name} overlap: [${previous?.begin},${previous?.end}) and [${tensor.begin},${tensor.end})`);
    }
    if (tensor.begin > expected) throw new FormatError(`${file}: bytes ${expected}..${tensor.begin} of the data section belong to no tensor`);
    if (tensor.end > dataBytes) {
      throw new FormatError(`${file}: tensor ${tensor.name} ends at ${tensor.end}, it needs bytes ${tensor.begin}..${tensor.end} of the data section, `
        + `which holds ${dataBytes}: file truncated`, { suggestions: ['download or copy the file again'] });
    }
    previous = tensor;
  }
  const end = previous?.end ?? 0;
  if (end < dataBytes) throw new FormatError(`${file}: ${dataBytes - end} bytes after the end of the last tensor`);
}

function parseMetadata(file: string, value: StrictJson | undefined): ReadonlyMap<string, string> {
  if (value === undefined) return new Map();
  if (!isObject(value) || [...value.values()].some((item) => typeof item !== 'string')) {
    throw new FormatError(`${file}: __metadata__ must map strings to strings`);
  }
  return value as ReadonlyMap<string, string>;
}

function isObject(value: StrictJson | undefined): value is StrictJsonObject {
  return value instanceof Map;
}
