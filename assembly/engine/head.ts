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
 * logits (tokens, vocabSize), rows from…to−1 of the vocabulary := (x · row) · xScale · scale. Four rows at a time, a quarter of the
 * range apart: each is a stream of its own to the processor's prefetcher, which follows one per page. Two tokens share the
 * widened weights.
 */
export function headInt8(
  x: usize, xScales: usize, tokens: i32, weights: usize, scales: usize, from: i32, to: i32, logits: usize, width: i32, vocabSize: i32,
): void {
  const step = <usize>width, rowLogits = (<usize>vocabSize) << 2;
  const quarter = (to - from) >> 2;
  for (let row = from; row < from + quarter; row++) {
    const at = weights + <usize>row * step;
    const scale = scales + ((<usize>row) << 2);
    let into = logits + ((<usize>row) << 2);
    let input = x;
    let n = 0;
    for (; n + 2 <= tokens; n += 2) {
      dotFourRowsTwice(input, at, <usize>quarter * step, step, xScales + ((<usize>n) << 2), scale, quarter, into, rowLogits);
      input += step << 2;
      into += rowLogits << 1;
    }
    if (n < tokens) dotFourRows(input, at, <usize>quarter * step, step, load<f32>(xScales + ((<usize>n) << 2)), scale, quarter, into);
  }
  for (let row = from + (quarter << 2); row < to; row++) {
    const at = (<usize>row) << 2;
    for (let n = 0; n < tokens; n++) {
      const sum = dotRow(x + ((<usize>(n * width)) << 1), weights + <usize>row * step, step);
      storeScaled(sum, load<f32>(xScales + ((<usize>n) << 2)), scales + at, logits + <usize>n * rowLogits + at);
    }
  }
}

// @ts-ignore: decorator
@inline
function storeScaled(sum: i32, xScale: f32, scale: usize, into: usize): void {
  store<f32>(into, <f32>sum * (xScale * load<f32>(scale)));
}

/** Stores the lanes of `sums`, `quarter` rows of the vocabulary apart. */
// @ts-ignore: decorator
@inline
function storeFour(sums: v128, xScale: f32, scale: usize, quarter: i32, into: usize): void {
  const gap = (<usize>quarter) << 2;
  storeScaled(i32x4.extract_lane(sums, 0), xScale, scale, into);
  storeScaled(i32x4.extract_lane(sums, 1), xScale, scale + gap, into + gap);
  storeScaled(i32x4.extract_lane(sums, 2), xScale, scale + 2 * gap, into + 2 * gap);
  storeScaled(i32x4.extract_lane(sums, 3), xScale, scale + 3 * gap, into + 3 * gap);
}

/** One token and four rows, `gap` bytes apart. */
function dotFourRows(x: usize, w: usize, gap: usize, width: usize, xScale: f32, scale: usize, quarter: i32, into: usize): void {
  const w1 = w + gap, w2 = w1 + gap, w3 = w2 + gap;
  let a0 = i32x4.splat(0), a1 = a0, a2 = a0, a3 = a0;
  for (let c: usize = 0; c < width; c += 8) {
    const p = v128.load(x + (c << 1));
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(v128.load8x8_s(w + c), p));
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(v128.load8x8_s(w1 + c), p));
    a2 = i32x4.add(a2, i32x4.dot_i16x8_s(v128.load8x8_s(w2 + c), p));
    a3 = i32x4.add(a3, i32x4.dot_i16x8_s(v128.load8x8_s(w3 + c), p));
  }
  storeFour(joinSums(a0, a1, a2, a3), xScale, scale, quarter, into);
}

/** Two tokens and four rows. */
function dotFourRowsTwice(
  x: usize, w: usize, gap: usize, width: usize, xScales: usize, scale: usize, quarter: i32, into: usize, rowLogits: usize,
): void {
  const w1 = w + gap, w2 = w1 + gap, w3 = w2 + gap;
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
  storeFour(joinSums(a0, a1, a2, a3), load<f32>(xScales), scale, quarter, into);
  storeFour(joinSums(b0, b1, b2, b3), load<f32>(xScales, 4), scale, quarter, into + rowLogits);
}

/** Σ x·w of one row. */
function dotRow(x: usize, w: usize, width: usize): i32 {
  let sum = i32x4.splat(0);
  for (let c: usize = 0; c < width; c += 8) sum = i32x4.add(sum, i32x4.dot_i16x8_s(v128.load8x8_s(w + c), v128.load(x + (c << 1))));
  return i32x4.extract_lane(joinSums(sum, sum, sum, sum), 0);
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
