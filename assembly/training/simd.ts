/** Vector helpers shared by the kernels. All pointers are byte addresses of float32 data in the heap of the TensorFlow.js module. */

/** Loads `count` floats; the lanes beyond them are 0. Never reads past the last one. */
// @ts-ignore: decorator
@inline
export function loadFloats(ptr: usize, count: i32): v128 {
  return count >= 4 ? v128.load(ptr) : loadPartial(ptr, count);
}

function loadPartial(ptr: usize, count: i32): v128 {
  let value = f32x4.splat(0);
  if (count > 0) value = f32x4.replace_lane(value, 0, load<f32>(ptr));
  if (count > 1) value = f32x4.replace_lane(value, 1, load<f32>(ptr, 4));
  if (count > 2) value = f32x4.replace_lane(value, 2, load<f32>(ptr, 8));
  return value;
}

/** Stores the first `count` lanes (at most 4). */
// @ts-ignore: decorator
@inline
export function storeFloats(ptr: usize, value: v128, count: i32): void {
  if (count >= 4) v128.store(ptr, value);
  else storePartial(ptr, value, count);
}

function storePartial(ptr: usize, value: v128, count: i32): void {
  if (count > 0) store<f32>(ptr, f32x4.extract_lane(value, 0));
  if (count > 1) store<f32>(ptr, f32x4.extract_lane(value, 1), 4);
  if (count > 2) store<f32>(ptr, f32x4.extract_lane(value, 2), 8);
}

/** All bits set in the first `count` lanes. */
// @ts-ignore: decorator
@inline
export function firstLanes(count: i32): v128 {
  return i32x4.gt_s(i32x4.splat(count), i32x4(0, 1, 2, 3));
}

/**
 * x·y + sum. With relaxed SIMD rounded once, by an instruction that may also round twice: whoever loads that binary tests it first.
 * Without, product and sum are rounded one after the other.
 */
// @ts-ignore: decorator
@inline
export function multiplyAdd(x: v128, y: v128, sum: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(x, y, sum);
  return f32x4.add(sum, f32x4.mul(x, y));
}

/** Sum of the four lanes, as (0 + 2) + (1 + 3). */
// @ts-ignore: decorator
@inline
export function sumLanes(v: v128): f32 {
  return (f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 2)) + (f32x4.extract_lane(v, 1) + f32x4.extract_lane(v, 3));
}

// @ts-ignore: decorator
@inline
export function maxLanes(v: v128): f32 {
  return max(
    max(f32x4.extract_lane(v, 0), f32x4.extract_lane(v, 2)),
    max(f32x4.extract_lane(v, 1), f32x4.extract_lane(v, 3)),
  );
}

/** The two lower lanes as float64. */
// @ts-ignore: decorator
@inline
export function lowDoubles(v: v128): v128 {
  return f64x2.promote_low_f32x4(v);
}

/** The two upper lanes as float64. */
// @ts-ignore: decorator
@inline
export function highDoubles(v: v128): v128 {
  return f64x2.promote_low_f32x4(i8x16.shuffle(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15));
}

// @ts-ignore: decorator
@inline
export function sumDoubles(v: v128): f64 {
  return f64x2.extract_lane(v, 0) + f64x2.extract_lane(v, 1);
}

/** dst[c][r] = src[r][c] for a rows × cols block; strides in bytes. */
export function transposeBlock(src: usize, srcStride: usize, dst: usize, dstStride: usize, rows: i32, cols: i32): void {
  const wholeRows = rows & ~3;
  const wholeCols = cols & ~3;
  for (let r = 0; r < wholeRows; r += 4) {
    let from = src + <usize>r * srcStride;
    let to = dst + ((<usize>r) << 2);
    for (let c = 0; c < wholeCols; c += 4) {
      transpose4(from, srcStride, to, dstStride);
      from += 16;
      to += dstStride << 2;
    }
  }
  for (let r = 0; r < rows; r++) {
    for (let c = r < wholeRows ? wholeCols : 0; c < cols; c++) {
      store<f32>(dst + <usize>c * dstStride + ((<usize>r) << 2), load<f32>(src + <usize>r * srcStride + ((<usize>c) << 2)));
    }
  }
}

// @ts-ignore: decorator
@inline
export function transpose4(src: usize, srcStride: usize, dst: usize, dstStride: usize): void {
  const a = v128.load(src);
  const b = v128.load(src + srcStride);
  const c = v128.load(src + (srcStride << 1));
  const d = v128.load(src + srcStride * 3);
  const ab01 = i8x16.shuffle(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const ab23 = i8x16.shuffle(a, b, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  const cd01 = i8x16.shuffle(c, d, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const cd23 = i8x16.shuffle(c, d, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  v128.store(dst, i8x16.shuffle(ab01, cd01, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23));
  v128.store(dst + dstStride, i8x16.shuffle(ab01, cd01, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31));
  v128.store(dst + (dstStride << 1), i8x16.shuffle(ab23, cd23, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23));
  v128.store(dst + dstStride * 3, i8x16.shuffle(ab23, cd23, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31));
}

/** Zeroes n floats. Short runs only: `memory.fill` is a call out of the module and costs more than the loop. */
// @ts-ignore: decorator
@inline
export function clearFloats(ptr: usize, n: i32): void {
  const zero = f32x4.splat(0);
  const whole = ptr + ((<usize>(n & ~3)) << 2);
  const end = ptr + ((<usize>n) << 2);
  while (ptr < whole) {
    v128.store(ptr, zero);
    ptr += 16;
  }
  while (ptr < end) {
    store<f32>(ptr, 0);
    ptr += 4;
  }
}
