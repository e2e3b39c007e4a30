import type { MatrixShape } from './layout.js';
import { INT4_GROUP_INPUTS, paddedIndex } from './layout.js';

/**
 * How float32 weights become the bytes the kernels read. All quantisation is symmetric: q = w / scale rounded half to even,
 * scale = max|w| / steps over the weights that share it.
 */

/** Largest |q| of an 8-bit and of a 4-bit weight. */
const INT8_STEPS = 127;
const INT4_STEPS = 7;
/** Quantised zeros: in int8 an unsigned byte (q + 128) beside a signed one, in int4 two nibbles of q + 8. */
const INT8_ZERO_PAIR = 0x0080;
const INT4_ZERO_PAIR = 0x88;
/** Smallest normal float32; a scale below it would be too coarse to divide by. */
const SMALLEST_NORMAL = 2 ** -126;
/** 1.5·2^52: what is added to it is rounded half to even by the double itself. */
const ROUNDING = 6_755_399_441_055_744;

/** Packs a matrix as float32: [I][O]. @param values (out, in) of the file. @param target all of the section. */
export function packFloatMatrix(values: Float32Array, matrix: MatrixShape, target: Float32Array): void {
  const { inputs, outputs } = matrix;
  target.fill(0);
  forEachColumn(values, matrix, (column, weights) => {
    for (let i = 0, at = column; i < inputs; i += 1, at += outputs) target[at] = weights[i]!;
  });
}

/**
 * Packs a matrix as int8: bytes [I][O]; in every run of 16 columns, byte 2k holds column k as q + 128
 * and byte 2k + 1 holds column 8 + k as q. @param values (out, in) of the file. @param target sections; scales f32 [O].
 */
export function packInt8Matrix(values: Float32Array, matrix: MatrixShape, target: { readonly weights: Uint8Array; readonly scales: Float32Array }): void {
  const { weights: bytes, scales } = target;
  const { inputs, outputs } = matrix;
  new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2).fill(INT8_ZERO_PAIR);
  scales.fill(1);
  forEachColumn(values, matrix, (column, weights) => {
    const scale = sharedScale(weights, INT8_STEPS);
    scales[column] = scale;
    const isUnsigned = (column & 8) === 0;
    const place = (column & ~15) | ((column & 7) << 1) | (isUnsigned ? 0 : 1);
    const offset = isUnsigned ? 128 : 0;
    for (let i = 0, at = place; i < inputs; i += 1, at += outputs) bytes[at] = quantiseWeight(weights[i]!, scale, INT8_STEPS) + offset;
  });
}

/**
 * Packs a matrix as int4: [I][O / 2] bytes; in every run of 32 columns, byte k holds q + 8 of column k
 * in its low and of column 16 + k in its high nibble. @param values (out, in) of the file. @param target sections; scales
 * f32 [⌈I / 128⌉][O].
 */
export function packInt4Matrix(values: Float32Array, matrix: MatrixShape, target: { readonly weights: Uint8Array; readonly scales: Float32Array }): void {
  const { weights: bytes, scales } = target;
  const { inputs, outputs } = matrix;
  const stride = outputs / 2;
  bytes.fill(INT4_ZERO_PAIR);
  scales.fill(1);
  forEachColumn(values, matrix, (column, weights) => {
    const [shift, kept] = (column & 16) === 0 ? [0, 0xf0] : [4, 0x0f];
    const place = (column >> 5) * 16 + (column & 15);
    for (let first = 0; first < inputs; first += INT4_GROUP_INPUTS) {
      const group = weights.subarray(first, first + INT4_GROUP_INPUTS);
      const scale = sharedScale(group, INT4_STEPS);
      scales[(first / INT4_GROUP_INPUTS) * outputs + column] = scale;
      let at = place + first * stride;
      for (let i = 0; i < group.length; i += 1, at += stride) {
        bytes[at] = (bytes[at]! & kept) | ((quantiseWeight(group[i]!, scale, INT4_STEPS) + 8) << shift);
      }
    }
  });
}

/** Copies rows of `width` floats to rows of `padded` floats. */
export function copyRows(values: Float32Array, rows: { readonly width: number; readonly padded: number }, target: Float32Array): void {
  for (let from = 0, to = 0; from < values.length; from += rows.width, to += rows.padded) target.set(values.subarray(from, from + rows.width), to);
}

/** Packs rows of `width` floats as int8 rows of `padded` plain bytes, with a scale f32 [rows] each. */
export function packInt8Rows(
  values: Float32Array, rows: { readonly width: number; readonly padded: number }, target: { readonly weights: Uint8Array; readonly scales: Float32Array },
): void {
  for (let row = 0; row * rows.width < values.length; row += 1) {
    const weights = values.subarray(row * rows.width, (row + 1) * rows.width);
    const scale = sharedScale(weights, INT8_STEPS);
    target.scales[row] = scale;
    const start = row * rows.padded;
    for (let i = 0; i < weights.length; i += 1) target.weights[start + i] = quantiseWeight(weights[i]!, scale, INT8_STEPS);
  }
}

/** Calls `visit` for every column that is no padding, with its weights as f32 [I]; they are valid until the next call. */
function forEachColumn(values: Float32Array, matrix: MatrixShape, visit: (column: number, weights: Float32Array) => void): void {
  const { from, to, inputs } = matrix;
  const weights = new Float32Array(inputs);
  for (let output = 0, at = 0; output < to.runs * to.real; output += 1) {
    for (let run = 0; run < from.runs; run += 1, at += from.real) weights.set(values.subarray(at, at + from.real), run * from.padded);
    visit(paddedIndex(to, output), weights);
  }
}

/** max|w| / steps in float32, or 1 where all weights are zero or so small that their scale would be subnormal. */
function sharedScale(weights: Float32Array, steps: number): number {
  let largest = 0;
  for (let i = 0; i < weights.length; i += 1) {
    const size = Math.abs(weights[i]!);
    if (size > largest) largest = size;
  }
  const scale = Math.fround(largest / steps);
  return scale < SMALLEST_NORMAL ? 1 : scale;
}

/** The float32 quotient, rounded half to even, within ±steps. */
function quantiseWeight(weight: number, scale: number, steps: number): number {
  const q = Math.fround(weight / scale) + ROUNDING - ROUNDING;
  return q > steps ? steps : q < -steps ? -steps : q;
}
