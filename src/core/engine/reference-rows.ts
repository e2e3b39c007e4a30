/* eslint-disable max-params -- a kernel takes what its WebAssembly twin takes: numbers, in the order of the contract. */
import type { MemoryViews, ReferenceKernel } from './reference-memory.js';
import { at, countBits, firedChannels } from './reference-memory.js';

const { fround } = Math;

interface PackedLayer {
  readonly bits: number;
  readonly words: number;
  readonly vectors: number;
  readonly weights: number;
  /** Bytes of one row, all O columns of it. */ readonly rowBytes: number;
  readonly outputs: number;
  readonly from: number;
  readonly to: number;
  readonly acc: number;
}

/** Visits every vector with the inputs its spikes select, ascending, and the index of its accumulator of column 0. */
function forEachVector(memory: MemoryViews, layer: PackedLayer, visit: (fired: readonly number[], sums: number) => void): void {
  for (let v = 0; v < layer.vectors; v++) {
    visit(firedChannels(memory, layer.bits + 8 * v * layer.words, layer.words), (layer.acc >>> 2) + v * layer.outputs);
  }
}

/** Adds what the call did to the two counters: additions, and bytes of the weights of inputs that fired in some vector. */
function countWork(memory: MemoryViews, layer: PackedLayer, counts: number): void {
  let [spikes, rows] = [0, 0];
  for (let half = 0; half < 2 * layer.words; half++) {
    let union = 0;
    for (let v = 0; v < layer.vectors; v++) {
      const bits = at(memory.u32, (layer.bits >>> 2) + 2 * v * layer.words + half);
      spikes += countBits(bits);
      union |= bits;
    }
    rows += countBits(union);
  }
  const columns = layer.to - layer.from;
  const index = counts >>> 3;
  memory.f64[index] = at(memory.f64, index) + spikes * columns;
  memory.f64[index + 1] = at(memory.f64, index + 1) + (rows * columns * layer.rowBytes) / layer.outputs;
}

/** sums[c] = bias[c] for the columns of the call. */
function startFromBias(memory: MemoryViews, { from, to }: PackedLayer, { sums, bias }: { sums: number; bias: number }): void {
  for (let c = from; c < to; c++) memory.f32[sums + c] = at(memory.f32, (bias >>> 2) + c);
}

/** @see EngineKernels.addRowsInt8 */
export const addRowsInt8: ReferenceKernel<'addRowsInt8'> = (
  memory, bits, words, vectors, weights, outputs, from, to, acc, _scratch, counts) => {
  const layer = { bits, words, vectors, weights, rowBytes: outputs, outputs, from, to, acc };
  const { i8, u8, i32 } = memory;
  forEachVector(memory, layer, (fired, sums) => {
    i32.fill(0, sums + from, sums + to);
    for (const input of fired) {
      const row = weights + input * outputs;
      for (let run = from; run < to; run += 16) {
        for (let k = 0; k < 8; k++) {
          const column = sums + run + k;
          i32[column] = at(i32, column) + at(u8, row + run + 2 * k) - 128;
          i32[column + 8] = at(i32, column + 8) + at(i8, row + run + 2 * k + 1);
        }
      }
    }
  });
  countWork(memory, layer, counts);
};

/** @see EngineKernels.addRowsFloat */
export const addRowsFloat: ReferenceKernel<'addRowsFloat'> = (
  memory, bits, words, vectors, weights, bias, outputs, from, to, acc, _scratch, counts) => {
  const layer = { bits, words, vectors, weights, rowBytes: 4 * outputs, outputs, from, to, acc };
  const { f32 } = memory;
  forEachVector(memory, layer, (fired, sums) => {
    startFromBias(memory, layer, { sums, bias });
    for (const input of fired) {
      const row = (weights >>> 2) + input * outputs;
      for (let c = from; c < to; c++) f32[sums + c] = at(f32, sums + c) + at(f32, row + c);
    }
  });
  countWork(memory, layer, counts);
};

const GROUP = 128;

/** @see EngineKernels.addRowsInt4 */
export const addRowsInt4: ReferenceKernel<'addRowsInt4'> = (
  memory, bits, words, vectors, weights, scales, bias, outputs, from, to, acc, _scratch, counts) => {
  const layer = { bits, words, vectors, weights, rowBytes: outputs / 2, outputs, from, to, acc };
  const { f32 } = memory;
  const groupSums = new Int32Array(outputs);
  forEachVector(memory, layer, (fired, sums) => {
    startFromBias(memory, layer, { sums, bias });
    for (let next = 0; next < fired.length;) {
      const group = Math.floor(at(fired, next) / GROUP);
      groupSums.fill(0);
      for (; next < fired.length && at(fired, next) < (group + 1) * GROUP; next++) {
        addNibbles(memory.u8, weights + at(fired, next) * layer.rowBytes, { from, to, sums: groupSums });
      }
      const scale = (scales >>> 2) + group * outputs;
      for (let c = from; c < to; c++) f32[sums + c] = at(f32, sums + c) + fround(at(groupSums, c) * at(f32, scale + c));
    }
  });
  countWork(memory, layer, counts);
};

/** Adds columns from … to − 1 of one packed int4 row, which starts at byte `row`, to their sums. */
function addNibbles(u8: Uint8Array, row: number, { from, to, sums }: { from: number; to: number; sums: Int32Array }): void {
  for (let run = from; run < to; run += 32) {
    for (let k = 0; k < 16; k++) {
      const byte = at(u8, row + run / 2 + k);
      sums[run + k] = at(sums, run + k) + (byte & 15) - 8;
      sums[run + 16 + k] = at(sums, run + 16 + k) + (byte >>> 4) - 8;
    }
  }
}
