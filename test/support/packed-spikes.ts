/** Spikes packed as the kernels promise: spike c of a row at bit c mod 32 of word c/32. */
export function packed(s: Float32Array, [rows, inputs]: readonly [number, number]): { values: Int32Array; shape: [number, number] } {
  const words = Math.ceil(inputs / 32);
  const values = new Int32Array(rows * words);
  s.forEach((spike, i) => {
    const [row, c] = [Math.floor(i / inputs), i % inputs];
    values[row * words + (c >> 5)]! |= spike << (c & 31);
  });
  return { values, shape: [rows, words] };
}
