import { multiplyAdd, transposeBlock } from './simd';

/**
 * Dense C = A·B on row-major float32. Every element of C is ((0 + a0·b0) + a1·b1) + …, k ascending, whatever the sizes: one row
 * computed alone has the bits it has inside any batch. Each step is rounded to float32 once in the binary with fused multiply-add, twice
 * (product, then sum) in the other, so the two differ from each other in the last bits.
 */

/**
 * Rows and columns of C held in registers. V8 uses 15 vector registers on x86-64: with fused multiply-add 12 accumulators, 2 vectors of B
 * and 1 of A; without it a product needs one, so that 6 rows would spill (a third slower, as is a loop over k that is unrolled).
 */
const TILE_ROWS: i32 = ASC_FEATURE_RELAXED_SIMD ? 6 : 5;
const TILE_COLS: i32 = 8;
/** Depth of a packed panel: 8 columns × 256 × 4 bytes = 8 KiB stay in the first-level cache. */
const DEPTH: i32 = 256;
/** Columns packed at once: 512 × 256 × 4 bytes = 512 KiB. */
const COLS: i32 = 512;
/** Rows of A walked per panel: 96 (or 80) × 256 × 4 bytes = 96 KiB stay in the second-level cache. */
const ROWS: i32 = 16 * TILE_ROWS;

/** Bytes of scratch `gemm` needs. */
export function gemmScratchBytes(transposeA: bool): usize {
  const packedA = transposeA ? ROWS * DEPTH : 0;
  return <usize>((COLS * DEPTH + packedA + TILE_ROWS * TILE_COLS) << 2);
}

/**
 * C (m, n) = A·B. A is (m, k), or (k, m) when transposed; B is (k, n), or (n, k) when transposed.
 * A `bias` (n) that is not 0 is added last.
 */
export function gemm(
  a: usize, b: usize, c: usize, bias: usize, m: i32, n: i32, k: i32, transposeA: bool, transposeB: bool, scratch: usize,
): void {
  const packedA = scratch + <usize>((COLS * DEPTH) << 2);
  const spareTile = scratch + gemmScratchBytes(transposeA) - <usize>((TILE_ROWS * TILE_COLS) << 2);
  const strideC = (<usize>n) << 2;
  if (k == 0) memory.fill(c, 0, <usize>m * strideC);
  for (let n0 = 0; n0 < n; n0 += COLS) {
    const cols = min(COLS, n - n0);
    for (let k0 = 0; k0 < k; k0 += DEPTH) {
      const depth = min(DEPTH, k - k0);
      packB(b, scratch, n0, cols, k0, depth, transposeB ? k : n, transposeB);
      for (let m0 = 0; m0 < m; m0 += ROWS) {
        const rows = min(ROWS, m - m0);
        let block = a + ((<usize>m0 * k + k0) << 2);
        let strideA = (<usize>k) << 2;
        if (transposeA) {
          transposeBlock(a + ((<usize>k0 * m + m0) << 2), (<usize>m) << 2, packedA, (<usize>depth) << 2, depth, rows);
          block = packedA;
          strideA = (<usize>depth) << 2;
        }
        multiplyBlock(block, strideA, scratch, c + ((<usize>m0 * n + n0) << 2), strideC, rows, cols, depth, k0 == 0, spareTile);
      }
    }
  }
  if (bias != 0) addBias(c, bias, m, n);
}

/** Panels of 8 columns, each (depth, 8), the last one filled up with zeros. */
function packB(b: usize, packed: usize, n0: i32, cols: i32, k0: i32, depth: i32, stride: i32, transposed: bool): void {
  const strideBytes = (<usize>stride) << 2;
  for (let n = 0; n < cols; n += TILE_COLS) {
    const width = min(TILE_COLS, cols - n);
    const panel = packed + ((<usize>n * depth) << 2);
    if (width < TILE_COLS) memory.fill(panel, 0, <usize>(depth * TILE_COLS) << 2);
    if (transposed) {
      transposeBlock(b + ((<usize>(n0 + n) * stride + k0) << 2), strideBytes, panel, <usize>TILE_COLS << 2, width, depth);
    } else {
      copyPanel(b + ((<usize>k0 * stride + n0 + n) << 2), strideBytes, panel, depth, width);
    }
  }
}

function copyPanel(from: usize, stride: usize, to: usize, depth: i32, width: i32): void {
  if (width == TILE_COLS) {
    for (let i = 0; i < depth; i++) {
      v128.store(to, v128.load(from));
      v128.store(to, v128.load(from, 16), 16);
      from += stride;
      to += 32;
    }
    return;
  }
  for (let i = 0; i < depth; i++) {
    memory.copy(to, from, (<usize>width) << 2);
    from += stride;
    to += 32;
  }
}

function multiplyBlock(
  a: usize, strideA: usize, packedB: usize, c: usize, strideC: usize, rows: i32, cols: i32, depth: i32, first: bool, spare: usize,
): void {
  for (let n = 0; n < cols; n += TILE_COLS) {
    const panel = packedB + ((<usize>n * depth) << 2);
    const width = min(TILE_COLS, cols - n);
    for (let m = 0; m < rows; m += TILE_ROWS) {
      const height = min(TILE_ROWS, rows - m);
      const tileA = a + <usize>m * strideA;
      const tileC = c + <usize>m * strideC + ((<usize>n) << 2);
      if (width == TILE_COLS) {
        multiplyTile(tileA, strideA, panel, tileC, strideC, height, depth, first);
      } else {
        if (!first) copyTile(tileC, strideC, spare, 32, height, width);
        multiplyTile(tileA, strideA, panel, spare, 32, height, depth, first);
        copyTile(spare, 32, tileC, strideC, height, width);
      }
    }
  }
}

function copyTile(from: usize, strideFrom: usize, to: usize, strideTo: usize, height: i32, width: i32): void {
  for (let i = 0; i < height; i++) {
    memory.copy(to, from, (<usize>width) << 2);
    from += strideFrom;
    to += strideTo;
  }
}

/**
 * One 6 × 8 tile of C, or 5 × 8, where the compiler drops the last row. With fewer rows left the missing ones repeat the last: they
 * compute and store the same values.
 */
function multiplyTile(a: usize, strideA: usize, b: usize, c: usize, strideC: usize, height: i32, depth: i32, first: bool): void {
  const last = height - 1;
  let a0 = a;
  let a1 = a + <usize>min(1, last) * strideA;
  let a2 = a + <usize>min(2, last) * strideA;
  let a3 = a + <usize>min(3, last) * strideA;
  let a4 = a + <usize>min(4, last) * strideA;
  let a5 = a + <usize>min(5, last) * strideA;
  const c0 = c;
  const c1 = c + <usize>min(1, last) * strideC;
  const c2 = c + <usize>min(2, last) * strideC;
  const c3 = c + <usize>min(3, last) * strideC;
  const c4 = c + <usize>min(4, last) * strideC;
  const c5 = c + <usize>min(5, last) * strideC;
  let r00 = f32x4.splat(0), r01 = r00;
  let r10 = r00, r11 = r00;
  let r20 = r00, r21 = r00;
  let r30 = r00, r31 = r00;
  let r40 = r00, r41 = r00;
  let r50 = r00, r51 = r00;
  if (!first) {
    r00 = v128.load(c0); r01 = v128.load(c0, 16);
    r10 = v128.load(c1); r11 = v128.load(c1, 16);
    r20 = v128.load(c2); r21 = v128.load(c2, 16);
    r30 = v128.load(c3); r31 = v128.load(c3, 16);
    r40 = v128.load(c4); r41 = v128.load(c4, 16);
    if (TILE_ROWS == 6) { r50 = v128.load(c5); r51 = v128.load(c5, 16); }
  }
  for (let i = 0; i < depth; i++) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const x0 = v128.load_splat<f32>(a0);
    r00 = multiplyAdd(x0, b0, r00); r01 = multiplyAdd(x0, b1, r01);
    const x1 = v128.load_splat<f32>(a1);
    r10 = multiplyAdd(x1, b0, r10); r11 = multiplyAdd(x1, b1, r11);
    const x2 = v128.load_splat<f32>(a2);
    r20 = multiplyAdd(x2, b0, r20); r21 = multiplyAdd(x2, b1, r21);
    const x3 = v128.load_splat<f32>(a3);
    r30 = multiplyAdd(x3, b0, r30); r31 = multiplyAdd(x3, b1, r31);
    const x4 = v128.load_splat<f32>(a4);
    r40 = multiplyAdd(x4, b0, r40); r41 = multiplyAdd(x4, b1, r41);
    if (TILE_ROWS == 6) {
      const x5 = v128.load_splat<f32>(a5);
      r50 = multiplyAdd(x5, b0, r50); r51 = multiplyAdd(x5, b1, r51);
      a5 += 4;
    }
    a0 += 4; a1 += 4; a2 += 4; a3 += 4; a4 += 4; b += 32;
  }
  v128.store(c0, r00); v128.store(c0, r01, 16);
  v128.store(c1, r10); v128.store(c1, r11, 16);
  v128.store(c2, r20); v128.store(c2, r21, 16);
  v128.store(c3, r30); v128.store(c3, r31, 16);
  v128.store(c4, r40); v128.store(c4, r41, 16);
  if (TILE_ROWS == 6) { v128.store(c5, r50); v128.store(c5, r51, 16); }
}

function addBias(c: usize, bias: usize, m: i32, n: i32): void {
  const whole = n & ~3;
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < whole; j += 4) {
      const at = (<usize>j) << 2;
      v128.store(c + at, f32x4.add(v128.load(c + at), v128.load(bias + at)));
    }
    for (let j = whole; j < n; j++) {
      const at = (<usize>j) << 2;
      store<f32>(c + at, load<f32>(c + at) + load<f32>(bias + at));
    }
    c += (<usize>n) << 2;
  }
}
