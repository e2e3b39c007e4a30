import type { TensorDtype } from './tensor-map.js';

/** Every float16 pattern's float32 value; 256 kB, built once on first use. */
let halfTable: Float32Array | null = null;

/**
 * Decodes little-endian floats of a file into `out`, starting at `out[offset]`.
 * float16 and bfloat16 are exact, float64 is rounded to nearest, float32 keeps every bit (NaN payloads included).
 * @param bytes a whole number of elements of `dtype`, which must be a float type.
 */
export function decodeFloats(bytes: Uint8Array, dtype: TensorDtype, target: { out: Float32Array; offset: number }): void {
  const { out, offset } = target;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (dtype === 'F32') {
    // Bytes are copied as they are: a float32 that passes through a JavaScript number may lose its NaN payload.
    new Uint8Array(out.buffer, out.byteOffset + 4 * offset, bytes.length).set(bytes);
  } else if (dtype === 'BF16') {
    const bits = new Uint32Array(out.buffer, out.byteOffset + 4 * offset, bytes.length / 2);
    for (let i = 0; i < bits.length; i += 1) bits[i] = view.getUint16(2 * i, true) << 16;
  } else if (dtype === 'F16') {
    halfTable ??= buildHalfTable();
    const count = bytes.length / 2;
    for (let i = 0; i < count; i += 1) out[offset + i] = halfTable[view.getUint16(2 * i, true)]!;
  } else {
    const count = bytes.length / 8;
    for (let i = 0; i < count; i += 1) out[offset + i] = view.getFloat64(8 * i, true);
  }
}

/** Value of an IEEE 754 binary16 pattern: sign, 5 exponent bits (bias 15), 10 fraction bits. */
export function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function buildHalfTable(): Float32Array {
  return Float32Array.from({ length: 65_536 }, (_, bits) => halfToNumber(bits));
}
