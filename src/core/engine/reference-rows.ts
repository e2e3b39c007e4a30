/* eslint-disable max-params -- a kernel takes what its WebAssembly twin takes: numbers, in the order of the contract. */
import type { MemoryViews, ReferenceKernel } from './reference-memory.js';
import { at, countBits, firedChannels } from './reference-memory.js';

const { fround } = Math;

/** Inputs that the spikes of a vector select, and where a block of packed columns and its accumulators begin. */
interface RowBlock {
  readonly fired: readonly number[];
  /** Byte address of the block's row of input 0. */ readonly rows: number;
  /** Index of the accumulator of the block's column 0. */ readonly acc: number;
  /** First column of the call inside the block, and the one past the last. */ readonly first: number;
  readonly end: number;
  /** Column of the layer that is the block's column 0. */ readonly column: number;
}

interface PackedLayer {
  readonly bits: number;
  readonly words: number;
  readonly vectors: number;
  readonly weights: number;
  /** Columns of a block and bytes of one of its rows. */ readonly blockWidth: number;
  readonly rowBytes: number;
  readonly outputs: number;
  readonly from: number;
  readonly to: number;
  readonly acc: number;
}

/** Visits every vector and, in it, every block of columns that the call touches. */
function forEachBlock(memory: MemoryViews, layer: PackedLayer, visit: (block: RowBlock) => void): void {
  const { blockWidth, from, to } = layer;
  for (let v = 0; v < layer.vectors; v++) {
    const fired = firedChannels(memory, layer.bits + 8 * v * layer.words, layer.words);
    for (let block = Math.floor(from / blockWidth); block * blockWidth < to; block++) {
      const column = block * blockWidth;
      visit({
        fired, column, first: Math.max(from - column, 0), end: Math.min(to - column, blockWidth),
        rows: layer.weights + 64 * layer.words * block * layer.rowBytes,
        acc: (layer.acc >>> 2) + v * layer.outputs + column,
      });
    }
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
  memory.f64[index + 1] = at(memory.f64, index + 1) + (rows * columns * layer.rowBytes) / layer.blockWidth;
}

/** acc[c] = bias[c] for the columns of a block. */
function startFromBias(memory: MemoryViews, block: RowBlock, bias: number): void {
  for (let c = block.first; c < block.end; c++) memory.f32[block.acc + c] = at(memory.f32, (bias >>> 2) + block.column + c);
}

/** @see EngineKernels.addRowsInt8 */
export const addRowsInt8: ReferenceKernel<'addRowsInt8'> = (
  memory, bits, words, vectors, weights, blockWidth, outputs, from, to, acc, _scratch, counts) => {
  const layer = { bits, words, vectors, weights, blockWidth, rowBytes: blockWidth, outputs, from, to, acc };
  const { i8, u8, i32 } = memory;
  forEachBlock(memory, layer, (block) => {
    i32.fill(0, block.acc + block.first, block.acc + block.end);
    for (const input of block.fired) {
      const row = block.rows + input * blockWidth;
      for (let run = block.first; run < block.end; run += 16) {
        for (let k = 0; k < 8; k++) {
          const column = block.acc + run + k;
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
  const layer = { bits, words, vectors, weights, blockWidth: 64, rowBytes: 256, outputs, from, to, acc };
  const { f32 } = memory;
  forEachBlock(memory, layer, (block) => {
    startFromBias(memory, block, bias);
    for (const input of block.fired) {
      const row = (block.rows >>> 2) + 64 * input;
      for (let c = block.first; c < block.end; c++) f32[block.acc + c] = at(f32, block.acc + c) + at(f32, row + c);
    }
  });
  countWork(memory, layer, counts);
};

const GROUP = 128;

/** @see EngineKernels.addRowsInt4 */
export const addRowsInt4: ReferenceKernel<'addRowsInt4'> = (
  memory, bits, words, vectors, weights, scales, bias, blockWidth, outputs, from, to, acc, _scratch, counts) => {
  const layer = { bits, words, vectors, weights, blockWidth, rowBytes: blockWidth / 2, outputs, from, to, acc };
  const { f32 } = memory;
  const sums = new Int32Array(blockWidth);
  forEachBlock(memory, layer, (block) => {
    startFromBias(memory, block, bias);
    const { fired, first, end } = block;
    for (let next = 0; next < fired.length;) {
      const group = Math.floor(at(fired, next) / GROUP);
      sums.fill(0);
      for (; next < fired.length && at(fired, next) < (group + 1) * GROUP; next++) {
        addNibbles(memory.u8, block.rows + at(fired, next) * layer.rowBytes, { first, end, sums });
      }
      const scale = (scales >>> 2) + group * outputs + block.column;
      for (let c = first; c < end; c++) {
        f32[block.acc + c] = at(f32, block.acc + c) + fround(at(sums, c) * at(f32, scale + c));
      }
    }
  });
  countWork(memory, layer, counts);
};

/** Adds columns first … end − 1 of one packed int4 row, which starts at byte `row`, to their sums. */
function addNibbles(u8: Uint8Array, row: number, { first, end, sums }: { first: number; end: number; sums: Int32Array }): void {
  for (let run = first; run < end; run += 32) {
    for (let k = 0; k < 16; k++) {
      const byte = at(u8, row + run / 2 + k);
      sums[run + k] = at(sums, run + k) + (byte & 15) - 8;
      sums[run + 16 + k] = at(sums, run + 16 + k) + (byte >>> 4) - 8;
    }
  }
}
