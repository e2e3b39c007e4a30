import { FormatError } from '../errors.js';

/** Element types of weight files, by their safetensors names. */
export type TensorDtype = 'F32' | 'F16' | 'BF16' | 'F64' | 'I64' | 'I32' | 'I16' | 'I8' | 'U8' | 'BOOL';

/** One tensor of a weight file; its values are read from disk only when asked for. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: TensorDtype;
  readonly shape: readonly number[];
  /** Row-major values as float32 (float16 and bfloat16 exactly, float64 rounded). @throws FormatError on an integer dtype or a short file. */
  readFloat32(): Promise<Float32Array>;
}

/** Tensors of one model by the name they have in the file. */
export type TensorMap = ReadonlyMap<string, TensorEntry>;

export const BYTES_PER_ELEMENT: Readonly<Record<TensorDtype, number>> = {
  F32: 4, F16: 2, BF16: 2, F64: 8, I64: 8, I32: 4, I16: 2, I8: 1, U8: 1, BOOL: 1,
};

/** Narrows a string from a file to a known element type. */
export function isTensorDtype(name: string): name is TensorDtype {
  return Object.hasOwn(BYTES_PER_ELEMENT, name);
}

/** More elements than the largest tensor of any teacher (OPT-175B's embedding has 0.62 · 10^9), within one Float32Array. */
export const MAX_TENSOR_ELEMENTS = 2 ** 31 - 1;

/** Dimensions multiplied without rounding, so that a crafted shape cannot wrap around. */
export function exactElements(shape: readonly number[]): bigint {
  return shape.reduce((product, dimension) => product * BigInt(dimension), 1n);
}

/** `[2,3]`, as messages print shapes. */
export function formatShape(shape: readonly number[]): string {
  return `[${shape.join(',')}]`;
}

/** Refuses element types that are no weights. @throws FormatError naming the tensor and its type. */
export function requireFloatDtype(tensor: { readonly name: string; readonly dtype: TensorDtype }): void {
  if (['F32', 'F16', 'BF16', 'F64'].includes(tensor.dtype)) return;
  throw new FormatError(`tensor ${tensor.name}: dtype ${tensor.dtype}, a float dtype expected (F32, F16, BF16 or F64)`, {
    suggestions: ['quantised and integer checkpoints cannot be imported: use the float checkpoint they were made from'],
  });
}
