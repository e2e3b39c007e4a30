import { listFired, packedWords, sumRows32, sumRows4, twoWords } from './spikes';
import { STRIPE, STRIPE_BYTES, copyStripe, stripesOf } from './stripes';

/** Rows whose lists of fired inputs are held at once. */
const FORWARD_ROWS: i32 = 64;
/** Rows of dy whose spikes are sorted by input before they are added. */
const GRADIENT_ROWS: i32 = 256;

/** Bytes of scratch `spikeMatMul` needs: counts and lists of the fired inputs, and the weights in stripes. */
export function spikeMatMulScratchBytes(inputs: i32, outputs: i32): usize {
  return ((<usize>(FORWARD_ROWS * (inputs + 1))) << 2) + <usize>(inputs * stripesOf(outputs)) * STRIPE_BYTES;
}

/**
 * y (rows, outputs) = s·w + b for binary s (rows, inputs), given as bits (see `packSpikes`): the bias, then the weight rows of the fired inputs, ascending.
 * Each row is computed as if it were alone.
 */
export function spikeMatMul(bits: usize, w: usize, b: usize, y: usize, rows: i32, inputs: i32, outputs: i32, scratch: usize): void {
  const lists = scratch + ((<usize>FORWARD_ROWS) << 2);
  const stripes = lists + ((<usize>(FORWARD_ROWS * inputs)) << 2);
  const stride = (<usize>outputs) << 2;
  const words = packedWords(inputs);
  const listBytes = (<usize>inputs) << 2;
  for (let c = 0; c < outputs; c += STRIPE) copyStripe(w, stride, stripes + <usize>(c * inputs) * 4, inputs, c, outputs);
  for (let r0 = 0; r0 < rows; r0 += FORWARD_ROWS) {
    const height = min(FORWARD_ROWS, rows - r0);
    for (let r = 0; r < height; r++) {
      const count = listFired(bits + ((<usize>((r0 + r) * words)) << 2), words, STRIPE_BYTES, lists + <usize>r * listBytes);
      store<i32>(scratch + ((<usize>r) << 2), count);
    }
    for (let c = 0; c < outputs; c += STRIPE) {
      const stripe = stripes + <usize>(c * inputs) * 4;
      const at = (<usize>c) << 2;
      for (let r = 0; r < height; r++) {
        addRows(
          lists + <usize>r * listBytes, load<i32>(scratch + ((<usize>r) << 2)), stripe, b + at, y + <usize>(r0 + r) * stride + at, outputs - c,
        );
      }
    }
  }
}

/** out = init + the listed rows of a stripe, in list order; the stripe is `width` columns wide, or whole if that is more. */
// @ts-ignore: decorator
@inline
function addRows(list: usize, count: i32, stripe: usize, init: usize, out: usize, width: i32): void {
  if (width >= STRIPE) {
    sumRows32(list, count, stripe, init, out);
    return;
  }
  for (let c = 0; c < width; c += 4) {
    const at = (<usize>c) << 2;
    sumRows4(list, count, stripe + at, init + at, out + at, width - c);
  }
}

/** Bytes of scratch `spikeMatMulGradW` needs: counts and lists of the rows in which each input fired, and a stripe of dy. */
export function spikeMatMulGradWScratchBytes(inputs: i32): usize {
  return ((<usize>(inputs * (GRADIENT_ROWS + 1))) << 2) + <usize>GRADIENT_ROWS * STRIPE_BYTES;
}

/** dW (inputs, outputs) = sᵀ·dy, s given as bits: for every input the rows of dy in which it fired, ascending. */
export function spikeMatMulGradW(bits: usize, dy: usize, dw: usize, rows: i32, inputs: i32, outputs: i32, scratch: usize): void {
  const lists = scratch + ((<usize>inputs) << 2);
  const stripe = lists + ((<usize>(inputs * GRADIENT_ROWS)) << 2);
  const stride = (<usize>outputs) << 2;
  memory.fill(dw, 0, <usize>inputs * stride);
  for (let r0 = 0; r0 < rows; r0 += GRADIENT_ROWS) {
    const height = min(GRADIENT_ROWS, rows - r0);
    listByInput(bits + ((<usize>(r0 * packedWords(inputs))) << 2), height, inputs, STRIPE_BYTES, scratch);
    for (let c = 0; c < outputs; c += STRIPE) {
      copyStripe(dy + <usize>r0 * stride, stride, stripe, height, c, outputs);
      for (let input = 0; input < inputs; input++) {
        const count = load<i32>(scratch + ((<usize>input) << 2));
        const into = dw + <usize>input * stride + ((<usize>c) << 2);
        if (count != 0) addRows(lists + ((<usize>(input * GRADIENT_ROWS)) << 2), count, stripe, into, into, outputs - c);
      }
    }
  }
}

/** Per input the byte offsets of the rows in which it fired: counts (inputs), then lists (inputs, GRADIENT_ROWS). */
function listByInput(bits: usize, rows: i32, inputs: i32, stride: usize, scratch: usize): void {
  const lists = scratch + ((<usize>inputs) << 2);
  const words = packedWords(inputs);
  memory.fill(scratch, 0, (<usize>inputs) << 2);
  for (let r = 0; r < rows; r++) {
    const offset = <u32>(<usize>r * stride);
    for (let word = 0; word < words; word += 2) {
      let fired = twoWords(bits, word, words);
      while (fired != 0) {
        const input = <usize>(word << 5) + <usize>ctz(fired);
        const counter = scratch + (input << 2);
        const count = load<i32>(counter);
        store<u32>(lists + ((input * GRADIENT_ROWS + <usize>count) << 2), offset);
        store<i32>(counter, count + 1);
        fired &= fired - 1;
      }
    }
    bits += (<usize>words) << 2;
  }
}
