import { firedBits, listFired, sumRows32, sumRows4 } from './spikes';

/** Rows whose lists of fired inputs are held at once; a 32-column stripe of the weights is reused over all of them. */
const FORWARD_ROWS: i32 = 64;
/** Rows of dy whose spikes are sorted by input before they are added. */
const GRADIENT_ROWS: i32 = 256;

/** Bytes of scratch `spikeMatMul` needs. */
export function spikeMatMulScratchBytes(inputs: i32): usize {
  return <usize>(FORWARD_ROWS * (inputs + 1)) << 2;
}

/**
 * y (rows, outputs) = s·w + b for binary s (rows, inputs): the bias, then the weight rows of the fired inputs, ascending.
 * Each row is computed as if it were alone.
 */
export function spikeMatMul(s: usize, w: usize, b: usize, y: usize, rows: i32, inputs: i32, outputs: i32, scratch: usize): void {
  const lists = scratch + ((<usize>FORWARD_ROWS) << 2);
  const stride = (<usize>outputs) << 2;
  const listBytes = (<usize>inputs) << 2;
  for (let r0 = 0; r0 < rows; r0 += FORWARD_ROWS) {
    const height = min(FORWARD_ROWS, rows - r0);
    for (let r = 0; r < height; r++) {
      const count = listFired(s + <usize>(r0 + r) * listBytes, inputs, stride, lists + <usize>r * listBytes);
      store<i32>(scratch + ((<usize>r) << 2), count);
    }
    const out = y + <usize>r0 * stride;
    let c = 0;
    for (; c + 32 <= outputs; c += 32) {
      const at = (<usize>c) << 2;
      for (let r = 0; r < height; r++) {
        sumRows32(lists + <usize>r * listBytes, load<i32>(scratch + ((<usize>r) << 2)), w + at, b + at, out + <usize>r * stride + at);
      }
    }
    for (; c < outputs; c += 4) {
      const at = (<usize>c) << 2;
      for (let r = 0; r < height; r++) {
        sumRows4(
          lists + <usize>r * listBytes, load<i32>(scratch + ((<usize>r) << 2)), w + at, b + at, out + <usize>r * stride + at, outputs - c,
        );
      }
    }
  }
}

/** Bytes of scratch `spikeMatMulGradW` needs. */
export function spikeMatMulGradWScratchBytes(inputs: i32): usize {
  return <usize>(inputs * (GRADIENT_ROWS + 1)) << 2;
}

/** dW (inputs, outputs) = sᵀ·dy: for every input the rows of dy in which it fired, ascending. */
export function spikeMatMulGradW(s: usize, dy: usize, dw: usize, rows: i32, inputs: i32, outputs: i32, scratch: usize): void {
  const stride = (<usize>outputs) << 2;
  memory.fill(dw, 0, <usize>inputs * stride);
  for (let r0 = 0; r0 < rows; r0 += GRADIENT_ROWS) {
    const height = min(GRADIENT_ROWS, rows - r0);
    listByInput(s + ((<usize>r0 * inputs) << 2), height, inputs, stride, scratch);
    const block = dy + <usize>r0 * stride;
    let c = 0;
    for (; c + 32 <= outputs; c += 32) addListed(scratch, inputs, block, dw, stride, c, 32);
    for (; c < outputs; c += 4) addListed(scratch, inputs, block, dw, stride, c, min(4, outputs - c));
  }
}

/** Per input the byte offsets of the rows in which it fired: counts (inputs), then lists (inputs, GRADIENT_ROWS). */
function listByInput(s: usize, rows: i32, inputs: i32, stride: usize, scratch: usize): void {
  const lists = scratch + ((<usize>inputs) << 2);
  memory.fill(scratch, 0, (<usize>inputs) << 2);
  for (let r = 0; r < rows; r++) {
    const offset = <u32>(<usize>r * stride);
    for (let c = 0; c < inputs; c += 64) {
      let bits = firedBits(s + ((<usize>c) << 2), min(64, inputs - c));
      while (bits != 0) {
        const input = <usize>c + <usize>ctz(bits);
        const counter = scratch + (input << 2);
        const count = load<i32>(counter);
        store<u32>(lists + ((input * GRADIENT_ROWS + <usize>count) << 2), offset);
        store<i32>(counter, count + 1);
        bits &= bits - 1;
      }
    }
    s += (<usize>inputs) << 2;
  }
}

function addListed(scratch: usize, inputs: i32, dy: usize, dw: usize, stride: usize, column: i32, width: i32): void {
  const lists = scratch + ((<usize>inputs) << 2);
  const at = (<usize>column) << 2;
  for (let input = 0; input < inputs; input++) {
    const count = load<i32>(scratch + ((<usize>input) << 2));
    if (count == 0) continue;
    const list = lists + ((<usize>(input * GRADIENT_ROWS)) << 2);
    const into = dw + <usize>input * stride + at;
    if (width == 32) sumRows32(list, count, dy + at, into, into);
    else sumRows4(list, count, dy + at, into, into, width);
  }
}
