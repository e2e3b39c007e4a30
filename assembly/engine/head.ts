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

/**
 * logits (tokens, vocabSize), rows from…to−1 of the vocabulary := (x · row) · xScale · scale. For one token rows are read one after
 * the other, as they lie: the fastest way through memory, which is what it waits for. Two tokens share the widened weights.
 */
export function headInt8(
  x: usize, xScales: usize, tokens: i32, weights: usize, scales: usize, from: i32, to: i32, logits: usize, width: i32, vocabSize: i32,
): void {
  const step = <usize>width;
  const rowLogits = (<usize>vocabSize) << 2;
  let row = from;
  for (; row + 4 <= to; row += 4) {
    const at = weights + <usize>row * step;
    const scale = v128.load(scales + ((<usize>row) << 2));
    let into = logits + ((<usize>row) << 2);
    let input = x;
    let n = 0;
    for (; n + 2 <= tokens; n += 2) {
      dotFourRowsTwoTokens(input, at, step, scale, xScales + ((<usize>n) << 2), into, rowLogits);
      input += step << 2;
      into += rowLogits << 1;
    }
    if (n < tokens) {
      const sums = joinSums(dotRow(input, at, step), dotRow(input, at + step, step), dotRow(input, at + 2 * step, step), dotRow(input, at + 3 * step, step));
      storeScaled(sums, scale, load<f32>(xScales + ((<usize>n) << 2)), into);
    }
  }
  for (; row < to; row++) {
    for (let n = 0; n < tokens; n++) {
      const sums = dotRow(x + ((<usize>(n * width)) << 1), weights + <usize>row * step, step);
      const sum = i32x4.extract_lane(joinSums(sums, sums, sums, sums), 0);
      const scaled = load<f32>(xScales + ((<usize>n) << 2)) * load<f32>(scales + ((<usize>row) << 2));
      store<f32>(logits + <usize>n * rowLogits + ((<usize>row) << 2), <f32>sum * scaled);
    }
  }
}

// @ts-ignore: decorator
@inline
function storeScaled(sums: v128, scale: v128, xScale: f32, into: usize): void {
  v128.store(into, f32x4.mul(f32x4.convert_i32x4_s(sums), f32x4.mul(f32x4.splat(xScale), scale)));
}

function dotFourRowsTwoTokens(x: usize, w: usize, width: usize, scale: v128, xScales: usize, into: usize, rowLogits: usize): void {
  const w1 = w + width, w2 = w1 + width, w3 = w2 + width;
  const y = x + (width << 1);
  let a0 = i32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
  for (let c: usize = 0; c < width; c += 8) {
    const p = v128.load(x + (c << 1)), q = v128.load(y + (c << 1));
    let v = v128.load8x8_s(w + c);
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(v, p)); b0 = i32x4.add(b0, i32x4.dot_i16x8_s(v, q));
    v = v128.load8x8_s(w1 + c);
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(v, p)); b1 = i32x4.add(b1, i32x4.dot_i16x8_s(v, q));
    v = v128.load8x8_s(w2 + c);
    a2 = i32x4.add(a2, i32x4.dot_i16x8_s(v, p)); b2 = i32x4.add(b2, i32x4.dot_i16x8_s(v, q));
    v = v128.load8x8_s(w3 + c);
    a3 = i32x4.add(a3, i32x4.dot_i16x8_s(v, p)); b3 = i32x4.add(b3, i32x4.dot_i16x8_s(v, q));
  }
  storeScaled(joinSums(a0, a1, a2, a3), scale, load<f32>(xScales), into);
  storeScaled(joinSums(b0, b1, b2, b3), scale, load<f32>(xScales, 4), into + rowLogits);
}

/** Σ x·w of one row as four partial sums; `width` is a multiple of 64. */
function dotRow(x: usize, w: usize, width: usize): v128 {
  let s0 = i32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
  const end = w + width;
  while (w < end) {
    s0 = i32x4.add(s0, i32x4.dot_i16x8_s(v128.load8x8_s(w), v128.load(x)));
    s1 = i32x4.add(s1, i32x4.dot_i16x8_s(v128.load8x8_s(w, 8), v128.load(x, 16)));
    s2 = i32x4.add(s2, i32x4.dot_i16x8_s(v128.load8x8_s(w, 16), v128.load(x, 32)));
    s3 = i32x4.add(s3, i32x4.dot_i16x8_s(v128.load8x8_s(w, 24), v128.load(x, 48)));
    w += 32;
    x += 64;
  }
  return i32x4.add(i32x4.add(s0, s1), i32x4.add(s2, s3));
}

/** Lane l: the sum of the lanes of the l-th argument. */
// @ts-ignore: decorator
@inline
function joinSums(s0: v128, s1: v128, s2: v128, s3: v128): v128 {
  const a = i32x4.add(interleaveLow(s0, s1), interleaveHigh(s0, s1));
  const b = i32x4.add(interleaveLow(s2, s3), interleaveHigh(s2, s3));
  return i32x4.add(
    i8x16.shuffle(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23),
    i8x16.shuffle(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31),
  );
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
