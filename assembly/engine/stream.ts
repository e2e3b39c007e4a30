/** The residual stream: embedding, what sub-layers write to it, and the readout's norm. Vectors are (N·T, width) float32. */

/** Embedding of one token from an int8 row, the same at all time steps. */
export function embedInt8(row: usize, scale: f32, position: usize, gain: f32, stream: usize, width: i32, timeSteps: i32): void {
  const scales = f32x4.splat(scale), gains = f32x4.splat(gain);
  for (let c = 0; c < width; c += 4) {
    const weights = f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(row + <usize>c))));
    const at = (<usize>c) << 2;
    repeat(f32x4.mul(f32x4.add(f32x4.mul(weights, scales), v128.load(position + at)), gains), stream + at, width, timeSteps);
  }
}

/** Embedding of one token from a float32 row, the same at all time steps. */
export function embedFloat(row: usize, position: usize, gain: f32, stream: usize, width: i32, timeSteps: i32): void {
  const gains = f32x4.splat(gain);
  for (let c = 0; c < width; c += 4) {
    const at = (<usize>c) << 2;
    repeat(f32x4.mul(f32x4.add(v128.load(row + at), v128.load(position + at)), gains), stream + at, width, timeSteps);
  }
}

// @ts-ignore: decorator
@inline
function repeat(value: v128, at: usize, width: i32, timeSteps: i32): void {
  for (let t = 0; t < timeSteps; t++) {
    v128.store(at, value);
    at += (<usize>width) << 2;
  }
}

/** stream += sum·scale + bias. */
export function addCurrentInt(acc: usize, scale: usize, bias: usize, stream: usize, outputs: i32, from: i32, to: i32, vectors: i32): void {
  for (let v = 0; v < vectors; v++) {
    const row = (<usize>(v * outputs)) << 2;
    for (let c = from; c < to; c += 4) {
      const at = (<usize>c) << 2;
      const current = f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(v128.load(acc + row + at)), v128.load(scale + at)), v128.load(bias + at));
      v128.store(stream + row + at, f32x4.add(v128.load(stream + row + at), current));
    }
  }
}

/** into += sums. */
export function addSums(sums: usize, into: usize, outputs: i32, from: i32, to: i32, vectors: i32): void {
  for (let v = 0; v < vectors; v++) {
    const row = (<usize>(v * outputs)) << 2;
    for (let c = from; c < to; c += 4) {
      const at = row + ((<usize>c) << 2);
      v128.store(into + at, i32x4.add(v128.load(into + at), v128.load(sums + at)));
    }
  }
}

/** stream += current. */
export function addCurrentFloat(acc: usize, stream: usize, outputs: i32, from: i32, to: i32, vectors: i32): void {
  for (let v = 0; v < vectors; v++) {
    const row = (<usize>(v * outputs)) << 2;
    for (let c = from; c < to; c += 4) {
      const at = row + ((<usize>c) << 2);
      v128.store(stream + at, f32x4.add(v128.load(stream + at), v128.load(acc + at)));
    }
  }
}

/** stream += 1 where a spike occurred. */
export function addSpikes(bits: usize, words: i32, stream: usize, outputs: i32, from: i32, to: i32, vectors: i32): void {
  const bit = i32x4(1, 2, 4, 8), one = f32x4.splat(1);
  for (let v = 0; v < vectors; v++) {
    const row = bits + ((<usize>(v * words)) << 3);
    for (let c = from; c < to; c += 4) {
      const nibble = i32x4.splat(<i32>load<u8>(row + ((<usize>c) >> 3)) >> (c & 4));
      const at = stream + ((<usize>(v * outputs + c)) << 2);
      v128.store(at, f32x4.add(v128.load(at), v128.and(i32x4.eq(v128.and(nibble, bit), bit), one)));
    }
  }
}

/** Mean over time, then LayerNorm over the first `channels` of `stride`; the rest of `out` is 0. Statistics in float64, in order. */
export function readout(
  stream: usize, timeSteps: i32, channels: i32, stride: i32, weight: usize, bias: usize, epsilon: f64, out: usize,
): void {
  const step = (<usize>stride) << 2;
  let sum: f64 = 0;
  for (let c = 0; c < channels; c++) {
    const at = (<usize>c) << 2;
    let total = load<f32>(stream + at);
    for (let t = 1; t < timeSteps; t++) total += load<f32>(stream + at + <usize>t * step);
    const value = total / <f32>timeSteps;
    store<f32>(out + at, value);
    sum += <f64>value;
  }
  const mean = sum / <f64>channels;
  let squares: f64 = 0;
  for (let c = 0; c < channels; c++) {
    const difference = <f64>load<f32>(out + ((<usize>c) << 2)) - mean;
    squares += difference * difference;
  }
  const scale = 1 / Math.sqrt(squares / <f64>channels + epsilon);
  for (let c = 0; c < channels; c++) {
    const at = (<usize>c) << 2;
    const normalised = <f32>((<f64>load<f32>(out + at) - mean) * scale);
    store<f32>(out + at, normalised * load<f32>(weight + at) + load<f32>(bias + at));
  }
  for (let c = channels; c < stride; c++) store<f32>(out + ((<usize>c) << 2), 0);
}
