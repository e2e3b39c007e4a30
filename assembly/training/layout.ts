import { loadFloats, storeFloats, transposeBlock } from './simd';

/** Moving float32 values without changing them. */

/** Copies `rows` runs of n floats from one spacing to another (bytes between run starts). */
export function copyRuns(from: usize, strideFrom: usize, to: usize, strideTo: usize, rows: i32, n: i32): void {
  for (let r = 0; r < rows; r++) {
    copyFloats(from, to, n);
    from += strideFrom;
    to += strideTo;
  }
}

// @ts-ignore: decorator
@inline
function copyFloats(from: usize, to: usize, n: i32): void {
  if (n >= 1024) {
    memory.copy(to, from, (<usize>n) << 2);
    return;
  }
  const whole = n & ~3;
  const end = from + ((<usize>whole) << 2);
  while (from < end) {
    v128.store(to, v128.load(from));
    from += 16;
    to += 16;
  }
  if (whole < n) storeFloats(to, loadFloats(from, n - whole), n - whole);
}

/**
 * y (outer, count, inner) = x (outer, extent, inner) at `ids` (count) int32 of the middle axis. Returns the position of the first
 * id outside 0 … extent − 1, or −1 when all are inside; y is undefined in the first case.
 */
export function gather(x: usize, ids: usize, y: usize, outer: i32, extent: i32, inner: i32, count: i32): i32 {
  const run = (<usize>inner) << 2;
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < count; i++) {
      const id = load<i32>(ids + ((<usize>i) << 2));
      if (id < 0 || id >= extent) return i;
      copyFloats(x + <usize>id * run, y, inner);
      y += run;
    }
    x += <usize>extent * run;
  }
  return -1;
}

/** y (outer, repeats·n) = every run of n floats of x (outer, n) `repeats` times in a row. */
export function repeatRuns(x: usize, y: usize, outer: i32, n: i32, repeats: i32): void {
  if (n == 1) {
    repeatFloats(x, y, outer, repeats);
    return;
  }
  const run = (<usize>n) << 2;
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < repeats; i++) {
      copyFloats(x, y, n);
      y += run;
    }
    x += run;
  }
}

/** y (outer, repeats) = every float of x (outer) `repeats` times in a row. */
function repeatFloats(x: usize, y: usize, outer: i32, repeats: i32): void {
  const whole = repeats & ~3;
  for (let o = 0; o < outer; o++) {
    const value = v128.load_splat<f32>(x);
    const end = y + ((<usize>whole) << 2);
    while (y < end) {
      v128.store(y, value);
      y += 16;
    }
    if (whole < repeats) storeFloats(y, value, repeats - whole);
    y += (<usize>(repeats - whole)) << 2;
    x += 4;
  }
}

/** y (batch, cols, rows) = the transposes of x (batch, rows, cols). */
export function transposeMatrices(x: usize, y: usize, batch: i32, rows: i32, cols: i32): void {
  const bytes = (<usize>rows * cols) << 2;
  for (let b = 0; b < batch; b++) {
    transposeBlock(x, (<usize>cols) << 2, y, (<usize>rows) << 2, rows, cols);
    x += bytes;
    y += bytes;
  }
}
