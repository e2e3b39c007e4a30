import { loadFloats, multiplyAdd, storeFloats } from './simd';
import { positiveBits } from './spikes';
import { STRIPE, STRIPE_BYTES, copyStripe, stripesOf } from './stripes';

/** Rows whose lists of inputs above 0 are held at once. */
const ROWS: i32 = 64;
/** Of a list: where the row of the matrix begins within its stripe (u32), and the input (f32). */
const ENTRY: usize = 8;

/** Bytes of scratch `reluMatMul` needs: counts and lists of the inputs above 0, and the matrix in stripes. */
export function reluMatMulScratchBytes(inputs: i32, outputs: i32): usize {
  return ((<usize>ROWS) << 2) + <usize>(ROWS * inputs) * ENTRY + <usize>(inputs * stripesOf(outputs)) * STRIPE_BYTES;
}

/**
 * y (rows, outputs) = max(x, 0)·w + b for x (rows, inputs); a NaN stays one. The rows of w whose input is not above 0 are left out, and the others added in their
 * order, so that y has the bits that `gemm` gives.
 */
export function reluMatMul(x: usize, w: usize, b: usize, y: usize, rows: i32, inputs: i32, outputs: i32, scratch: usize): void {
  const lists = scratch + ((<usize>ROWS) << 2);
  const listBytes = <usize>inputs * ENTRY;
  const stripes = lists + <usize>ROWS * listBytes;
  const stride = (<usize>outputs) << 2;
  for (let c = 0; c < outputs; c += STRIPE) copyStripe(w, stride, stripes + <usize>(c * inputs) * 4, inputs, c, outputs);
  for (let r0 = 0; r0 < rows; r0 += ROWS) {
    const height = min(ROWS, rows - r0);
    for (let r = 0; r < height; r++) {
      store<i32>(scratch + ((<usize>r) << 2), listPositive(x + ((<usize>((r0 + r) * inputs)) << 2), inputs, lists + <usize>r * listBytes));
    }
    for (let c = 0; c < outputs; c += STRIPE) {
      const stripe = stripes + <usize>(c * inputs) * 4;
      const at = (<usize>c) << 2;
      for (let r = 0; r < height; r++) {
        const list = lists + <usize>r * listBytes;
        const end = list + <usize>load<i32>(scratch + ((<usize>r) << 2)) * ENTRY;
        weighRows(list, end, stripe, b + at, y + <usize>(r0 + r) * stride + at, min(STRIPE, outputs - c));
      }
    }
  }
}

/** Writes an entry for every input that is above 0 or no number; returns how many. */
function listPositive(x: usize, inputs: i32, list: usize): i32 {
  const start = list;
  for (let i = 0; i < inputs; i += 64) {
    let bits = positiveBits(x + ((<usize>i) << 2), min(64, inputs - i));
    while (bits != 0) {
      const input = <usize>i + <usize>ctz(bits);
      store<u32>(list, <u32>(input * STRIPE_BYTES));
      store<f32>(list, load<f32>(x + (input << 2)), 4);
      list += ENTRY;
      bits &= bits - 1;
    }
  }
  return <i32>((list - start) / ENTRY);
}

/** out = Σ value·row + bias over a list, `width` columns. */
function weighRows(list: usize, end: usize, rows: usize, bias: usize, out: usize, width: i32): void {
  let c = 0;
  for (; c + 16 <= width; c += 16) {
    const at = (<usize>c) << 2;
    weighRows16(list, end, rows + at, bias + at, out + at);
  }
  for (; c < width; c += 4) {
    const at = (<usize>c) << 2;
    weighRows4(list, end, rows + at, bias + at, out + at, width - c);
  }
}

/** 16 columns: V8 loads all vectors of a row before it uses the first, so that 32 would take more registers than there are (a third slower). */
function weighRows16(list: usize, end: usize, rows: usize, bias: usize, out: usize): void {
  let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
  while (list < end) {
    const row = rows + <usize>load<u32>(list);
    const value = v128.load32_splat(list, 4);
    s0 = multiplyAdd(value, v128.load(row), s0); s1 = multiplyAdd(value, v128.load(row, 16), s1);
    s2 = multiplyAdd(value, v128.load(row, 32), s2); s3 = multiplyAdd(value, v128.load(row, 48), s3);
    list += ENTRY;
  }
  v128.store(out, f32x4.add(s0, v128.load(bias))); v128.store(out, f32x4.add(s1, v128.load(bias, 16)), 16);
  v128.store(out, f32x4.add(s2, v128.load(bias, 32)), 32); v128.store(out, f32x4.add(s3, v128.load(bias, 48)), 48);
}

/** At most 4 columns. */
function weighRows4(list: usize, end: usize, rows: usize, bias: usize, out: usize, width: i32): void {
  let sum = f32x4.splat(0);
  while (list < end) {
    sum = multiplyAdd(v128.load32_splat(list, 4), loadFloats(rows + <usize>load<u32>(list), width), sum);
    list += ENTRY;
  }
  storeFloats(out, f32x4.add(sum, loadFloats(bias, width)), width);
}
