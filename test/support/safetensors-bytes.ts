/** Safetensors files byte by byte, for inputs that no sound writer would make. */
export function safetensorsBytes(header: string | object, data: Uint8Array, lengthField?: bigint): Uint8Array {
  const text = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const file = new Uint8Array(8 + text.length + data.length);
  new DataView(file.buffer).setBigUint64(0, lengthField ?? BigInt(text.length), true);
  file.set(text, 8);
  file.set(data, 8 + text.length);
  return file;
}

/** float32 values as they lie in a file. */
export function floatBytes(...values: readonly number[]): Uint8Array {
  return new Uint8Array(Float32Array.from(values).buffer);
}

/** A sound file: a = [[1,2,3],[4,5,6]], b = [-1,-2,-3,-4]. */
export const SOUND_HEADER = {
  a: { dtype: 'F32', shape: [2, 3], data_offsets: [0, 24] },
  b: { dtype: 'F32', shape: [4], data_offsets: [24, 40] },
} as const;
export const SOUND_DATA = floatBytes(1, 2, 3, 4, 5, 6, -1, -2, -3, -4);
