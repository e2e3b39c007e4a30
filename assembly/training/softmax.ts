import { largestOf, scaleFloats, shiftedExp } from './elementwise';
import { gemm, gemmScratchBytes } from './gemm';
import { copyRuns } from './layout';
import { clearFloats } from './simd';

/** Queries of a head whose scores are computed at once; of the keys behind the last of them nothing is computed. */
const QUERIES: i32 = 32;

/** y (maps, n, n): row i of every map is softmax(x/divisor) over its first i + 1 entries, 0 beyond them. */
export function causalSoftmax(x: usize, y: usize, maps: i32, n: i32, divisor: f32): void {
  const row = (<usize>n) << 2;
  for (let map = 0; map < maps; map++) {
    for (let i = 0; i < n; i++) {
      softmaxRow(x, y, i + 1, n, divisor);
      x += row;
      y += row;
    }
  }
}

// @ts-ignore: decorator
@inline
function softmaxRow(x: usize, y: usize, keys: i32, n: i32, divisor: f32): void {
  const total = shiftedExp(x, y, keys, largestOf(x, keys), divisor);
  scaleFloats(y, y, keys, <f32>(1 / total));
  clearFloats(y + ((<usize>keys) << 2), n - keys);
}

/** Bytes of scratch `softmaxAttention` needs: queries, keys, values and context of a head, scores, and what products need. */
export function softmaxAttentionScratchBytes(length: i32, headWidth: i32): usize {
  return scoresAt(0, length, headWidth) + <usize>((QUERIES * length) << 2) + gemmScratchBytes(false);
}

// @ts-ignore: decorator
@inline
function scoresAt(scratch: usize, length: i32, headWidth: i32): usize {
  return scratch + <usize>((2 * (length + QUERIES) * headWidth) << 2);
}

/** context (B·L, D) and probabilities (B, H, L, L), 0 for future keys, of causal attention with query, key and value (B·L, D), scores divided by `divisor`. */
export function softmaxAttention(
  query: usize, key: usize, value: usize, context: usize, probabilities: usize, batch: i32, length: i32, width: i32, heads: i32, divisor: f32, scratch: usize,
): void {
  const headWidth = width / heads;
  const row = (<usize>width) << 2;
  const keys = scratch, values = scratch + <usize>((length * headWidth) << 2);
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const at = <usize>(b * length) * row + <usize>((h * headWidth) << 2);
      copyRuns(key + at, row, keys, (<usize>headWidth) << 2, length, headWidth);
      copyRuns(value + at, row, values, (<usize>headWidth) << 2, length, headWidth);
      for (let i = 0; i < length; i += QUERIES) {
        const from = at + <usize>i * row;
        attendQueries(query + from, context + from, probabilities + ((<usize>i * length) << 2), i, length, width, headWidth, divisor, scratch);
      }
      probabilities += (<usize>(length * length)) << 2;
    }
  }
}

/** Queries `first` and following of one head. */
function attendQueries(
  query: usize, context: usize, probabilities: usize, first: i32, length: i32, width: i32, headWidth: i32, divisor: f32, scratch: usize,
): void {
  const rows = min(QUERIES, length - first);
  const seen = first + rows;
  const row = (<usize>width) << 2, headRow = (<usize>headWidth) << 2;
  const keys = scratch, values = keys + <usize>length * headRow, queries = values + <usize>length * headRow, sums = queries + <usize>QUERIES * headRow;
  const scores = scoresAt(scratch, length, headWidth);
  const products = scores + <usize>((QUERIES * length) << 2);
  copyRuns(query, row, queries, headRow, rows, headWidth);
  gemm(queries, keys, scores, 0, rows, seen, headWidth, false, true, products);
  for (let r = 0; r < rows; r++) {
    softmaxRow(scores + ((<usize>(r * seen)) << 2), probabilities + ((<usize>(r * length)) << 2), first + r + 1, length, divisor);
  }
  copyRuns(probabilities, (<usize>length) << 2, scores, (<usize>seen) << 2, rows, seen);
  gemm(scores, values, sums, 0, rows, headWidth, seen, false, false, products);
  copyRuns(sums, headRow, context, row, rows, headWidth);
}
