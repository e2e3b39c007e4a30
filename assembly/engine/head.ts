/** The output head, the only dense product: int8 rows on a 16-bit activation with exact sums, or float32. */

/** out (width) i16 := x rounded to steps of the returned scale, so that the largest magnitude becomes `limit`. */
export function quantise(x: usize, width: i32, limit: f32, out: usize): f32 {
  let largest = f32x4.splat(0);
  for (let c = 0; c < width; c += 4) largest = f32x4.max(largest, f32x4.abs(v128.load(x + ((<usize>c) << 2))));
  const top = max(
    max(f32x4.extract_lane(largest, 0), f32x4.extract_lane(largest, 1)), max(f32x4.extract_lane(largest, 2), f32x4.extract_lane(largest, 3)),
  );
  const factor = f32x4.splat(top == 0 ? <f32>0 : limit / top);
  for (let c = 0; c < width; c += 8) {
    const at = x + ((<usize>c) << 2);
    const low = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(at), factor)));
    const high = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(at, 16), factor)));
    v128.store(out + ((<usize>c) << 1), i16x8.narrow_i32x4_s(low, high));
  }
  return top == 0 ? <f32>0 : top / limit;
}

/** logits (tokens, vocabSize), rows from…to−1 of the vocabulary := (x · row) · xScale · scale. */
export function headInt8(
  x: usize, xScales: usize, tokens: i32, weights: usize, scales: usize, from: i32, to: i32, logits: usize, width: i32, vocabSize: i32,
): void {
  let row = from;
  for (; row + 4 <= to; row += 4) {
    const at = weights + <usize>row * width;
    const scale = v128.load(scales + ((<usize>row) << 2));
    for (let n = 0; n < tokens; n++) {
      const sums = dotFour(x + ((<usize>(n * width)) << 1), at, width);
      const scaled = f32x4.mul(f32x4.splat(load<f32>(xScales + ((<usize>n) << 2))), scale);
      v128.store(logits + ((<usize>n * vocabSize + row) << 2), f32x4.mul(f32x4.convert_i32x4_s(sums), scaled));
    }
  }
  for (; row < to; row++) {
    for (let n = 0; n < tokens; n++) {
      const sum = dotOne(x + ((<usize>(n * width)) << 1), weights + <usize>row * width, width);
      const scaled = load<f32>(xScales + ((<usize>n) << 2)) * load<f32>(scales + ((<usize>row) << 2));
      store<f32>(logits + ((<usize>n * vocabSize + row) << 2), <f32>sum * scaled);
    }
  }
}

// @ts-ignore: decorator
@inline
function dotFour(x: usize, w: usize, width: i32): v128 {
  const w1 = w + <usize>width, w2 = w1 + <usize>width, w3 = w2 + <usize>width;
  let s0 = i32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
  for (let c: usize = 0; c < <usize>width; c += 16) {
    const low = v128.load(x + (c << 1)), high = v128.load(x + (c << 1), 16);
    s0 = i32x4.add(s0, dot16(v128.load(w + c), low, high));
    s1 = i32x4.add(s1, dot16(v128.load(w1 + c), low, high));
    s2 = i32x4.add(s2, dot16(v128.load(w2 + c), low, high));
    s3 = i32x4.add(s3, dot16(v128.load(w3 + c), low, high));
  }
  const a = i32x4.add(interleaveLow(s0, s1), interleaveHigh(s0, s1));
  const b = i32x4.add(interleaveLow(s2, s3), interleaveHigh(s2, s3));
  return i32x4.add(
    i8x16.shuffle(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23),
    i8x16.shuffle(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31),
  );
}

// @ts-ignore: decorator
@inline
function dot16(w: v128, low: v128, high: v128): v128 {
  return i32x4.add(i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(w), low), i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(w), high));
}

// @ts-ignore: decorator
@inline
function interleaveLow(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
}

// @ts-ignore: decorator
@inline
function interleaveHigh(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
}

function dotOne(x: usize, w: usize, width: i32): i32 {
  let sum = 0;
  for (let c: usize = 0; c < <usize>width; c++) sum += <i32>load<i8>(w + c) * <i32>load<i16>(x + (c << 1));
  return sum;
}

/** The same on float32: four lane sums, channels ascending, then (0 + 2) + (1 + 3). */
export function headFloat(
  x: usize, tokens: i32, weights: usize, from: i32, to: i32, logits: usize, width: i32, vocabSize: i32,
): void {
  for (let row = from; row < to; row++) {
    const at = weights + ((<usize>row * width) << 2);
    for (let n = 0; n < tokens; n++) {
      const input = x + ((<usize>(n * width)) << 2);
      let sum = f32x4.splat(0);
      for (let c: usize = 0; c < <usize>width << 2; c += 16) sum = f32x4.add(sum, f32x4.mul(v128.load(input + c), v128.load(at + c)));
      const total = (f32x4.extract_lane(sum, 0) + f32x4.extract_lane(sum, 2)) + (f32x4.extract_lane(sum, 1) + f32x4.extract_lane(sum, 3));
      store<f32>(logits + ((<usize>n * vocabSize + row) << 2), total);
    }
  }
}
