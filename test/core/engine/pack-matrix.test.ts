import { expect } from 'chai';
import fc from 'fast-check';

import type { MatrixShape } from '../../../src/core/engine/layout.js';
import { paddedIndex } from '../../../src/core/engine/layout.js';
import { copyRows, packFloatMatrix, packInt4Matrix, packInt8Matrix, packInt8Rows } from '../../../src/core/engine/pack-matrix.js';

interface Runs { readonly runs: number; readonly real: number; readonly padded: number }

function matrixOf(from: Runs, to: Runs): MatrixShape {
  const [inputs, outputs] = [from.runs * from.padded, to.runs * to.padded];
  return { from: { ...from, width: inputs }, to: { ...to, width: outputs }, inputs, outputs };
}

/** (out, in) values of a matrix, all zero but for `entries` [output, input, value]. */
function valuesOf({ from, to }: MatrixShape, entries: readonly (readonly [number, number, number])[]): Float32Array {
  const columns = from.runs * from.real;
  const values = new Float32Array(to.runs * to.real * columns);
  for (const [output, input, value] of entries) values[output * columns + input] = value;
  return values;
}

function packInt8(values: Float32Array, matrix: MatrixShape): { weights: Uint8Array; scales: Float32Array } {
  const target = { weights: new Uint8Array(matrix.inputs * matrix.outputs).fill(99), scales: new Float32Array(matrix.outputs).fill(99) };
  packInt8Matrix(values, matrix, target);
  return target;
}

function packInt4(values: Float32Array, matrix: MatrixShape): { weights: Uint8Array; scales: Float32Array } {
  const groups = Math.ceil(matrix.inputs / 128);
  const target = { weights: new Uint8Array((matrix.inputs * matrix.outputs) / 2).fill(99), scales: new Float32Array(groups * matrix.outputs).fill(99) };
  packInt4Matrix(values, matrix, target);
  return target;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const ZERO_ROW = '8000'.repeat(32);

describe('packed int8 matrix', () => {
  // Two inputs, 20 outputs, so rows of 64 bytes
  const matrix = matrixOf({ runs: 1, real: 2, padded: 64 }, { runs: 1, real: 20, padded: 64 });
  // Largest 127/128: the scale is exactly 1/128
  const { weights, scales } = packInt8(valuesOf(matrix, [
    [0, 0, 127 / 128], [0, 1, -127 / 128], [3, 0, 127 / 128], [3, 1, 63.5 / 128], [7, 0, 62.5 / 128], [7, 1, -127 / 128],
    [8, 0, 127 / 128], [8, 1, -127 / 128], [9, 0, -0.5 / 128], [9, 1, 127 / 128], [15, 0, -127 / 128], [15, 1, -1.5 / 128], [16, 0, 127 / 64], [19, 1, -127],
  ]), matrix);

  it('holds one row per input, columns 0-7 unsigned beside columns 8-15 signed', () => {
    // pairs of columns (0,8) (1,9) … (7,15): q+128, q; −0.5 and 62.5 round to even
    const first = 'ff7f' + '8000' + '8000' + 'ff00' + '8000' + '8000' + '8000' + 'be81';
    expect(hex(weights.subarray(0, 16))).to.equal(first);
    // the next run: column 16 is 127 of a scale twice as large
    expect(hex(weights.subarray(16, 64))).to.equal('ff00' + '8000'.repeat(23));
    const second = '0181' + '807f' + '8000' + 'c000' + '8000' + '8000' + '8000' + '01fe';
    expect(hex(weights.subarray(64, 80))).to.equal(second);
    expect(hex(weights.subarray(80, 128))).to.equal('8000'.repeat(3) + '0100' + '8000'.repeat(20));
  });

  it('is zero wherever the file has no weight', () => {
    for (let row = 2; row < 64; row += 1) expect(hex(weights.subarray(row * 64, (row + 1) * 64)), `row ${row}`).to.equal(ZERO_ROW);
  });

  it('has the scale of the largest weight in every column, 1 where there is none', () => {
    const expected = new Float32Array(64).fill(1);
    for (const column of [0, 3, 7, 8, 9, 15]) expected[column] = 1 / 128;
    expected[16] = 1 / 64;
    expect(Array.from(scales)).to.deep.equal(Array.from(expected));
  });

  it('holds all columns of an input together, in runs of 16', () => {
    const wide = matrixOf({ runs: 1, real: 3, padded: 64 }, { runs: 3, real: 64, padded: 64 });
    const { weights: packed } = packInt8(valuesOf(wide, [[64, 0, 5], [184, 1, 1], [137, 2, -5]]), wide);
    // rows of 192 bytes; column 184 = 11 · 16 + 8 is the first signed byte of its run, column 137 = 8 · 16 + 9 the second
    const where = Array.from(packed.entries()).filter(([at, byte]) => byte !== (at % 2 === 0 ? 128 : 0));
    expect(where).to.deep.equal([[64, 255], [192 + 177, 127], [2 * 192 + 131, 129]]);
  });

  it('pads every run of inputs and outputs by itself', () => {
    const runs = matrixOf({ runs: 2, real: 3, padded: 64 }, { runs: 3, real: 2, padded: 64 });
    const { weights: packed, scales: padded } = packInt8(valuesOf(runs, [[0, 3, 1], [3, 2, 2], [5, 5, -1]]), runs);
    const where = Array.from(packed.entries()).filter(([at, byte]) => byte !== (at % 2 === 0 ? 128 : 0));
    // output 3 = column 65, input 2 = row 2; output 0 = column 0, input 3 = row 64; output 5 = column 129, input 5 = row 66
    expect(where).to.deep.equal([[2 * 192 + 64 + 2, 255], [64 * 192, 255], [66 * 192 + 128 + 2, 1]]);
    expect(Array.from(padded.entries()).filter(([, scale]) => scale !== 1).map(([column]) => column)).to.deep.equal([0, 65, 129]);
  });

  it('rounds the quotient to float32 first, then half to even', () => {
    // by 1/127 in float32: 4.50000024 is 4.5 and goes to 4; 17.4999993 is 17.5 and goes to 18
    const odd = matrixOf({ runs: 1, real: 3, padded: 64 }, { runs: 1, real: 1, padded: 64 });
    const { weights: packed } = packInt8(Float32Array.of(1, 4.5 / 127, 17.5 / 127), odd);
    expect([packed[0], packed[64], packed[128]]).to.deep.equal([128 + 127, 128 + 4, 128 + 18]);
  });

  it('takes a column too small for a normal scale for zero', () => {
    const { weights: packed, scales: tiny } = packInt8(valuesOf(matrix, [[0, 0, 1e-38], [1, 0, 1e-45]]), matrix);
    expect([hex(packed.subarray(0, 64)), tiny[0], tiny[1]]).to.deep.equal([ZERO_ROW, 1, 1]);
  });
});

describe('packed int4 matrix', () => {
  // 130 inputs: a full group and one of 62; 40 outputs
  const matrix = matrixOf({ runs: 1, real: 130, padded: 192 }, { runs: 1, real: 40, padded: 64 });
  const { weights, scales } = packInt4(valuesOf(matrix, [
    [0, 0, 7 / 16], [0, 1, -0.5 / 16], [0, 2, 1.5 / 16], [0, 129, -14], [1, 127, 1], [16, 0, -7], [17, 1, 3], [31, 1, 7], [32, 0, 7], [39, 128, 3.5],
  ]), matrix);

  it('holds column k in the low and column 16 + k in the high nibble, as q + 8', () => {
    // row 0: column 0 is 7 → f, column 16 is −7 → 1; column 32 starts the second run
    expect(hex(weights.subarray(0, 32))).to.equal('1f' + '88'.repeat(15) + '8f' + '88'.repeat(15));
    // row 1: column 0 is −0.5, to even 0 → 8; column 17 is 7 of scale 3/7; column 31 is 7
    expect(hex(weights.subarray(32, 64))).to.equal('88' + 'f8' + '88'.repeat(13) + 'f8' + '88'.repeat(16));
    // row 2: 1.5 to even 2 → a
    expect(hex(weights.subarray(64, 96))).to.equal('8a' + '88'.repeat(31));
    expect(hex(weights.subarray(128 * 32, 130 * 32))).to.equal('88'.repeat(16 + 7) + '8f' + '88'.repeat(8) + '81' + '88'.repeat(31));
    expect(hex(weights.subarray(130 * 32))).to.equal('88'.repeat(62 * 32));
  });

  it('has scales per group of 128 inputs and column', () => {
    const expected = new Float32Array(128).fill(1);
    expected.set([1 / 16, 1 / 7]);
    expected[17] = 3 / 7;
    expected[64] = 2;
    expected[64 + 39] = 0.5;
    expect(Array.from(scales)).to.deep.equal(Array.from(expected));
  });

  it('holds all columns of an input together, in runs of 32', () => {
    const wide = matrixOf({ runs: 1, real: 3, padded: 64 }, { runs: 1, real: 192, padded: 192 });
    const { weights: packed } = packInt4(valuesOf(wide, [[160, 0, -1], [82, 2, 1]]), wide);
    // rows of 96 bytes; column 160 starts run 5, column 82 = 2 · 32 + 16 + 2
    expect(Array.from(packed.entries()).filter(([, byte]) => byte !== 0x88)).to.deep.equal([[80, 0x81], [2 * 96 + 34, 0xf8]]);
  });
});

describe('packed float32 matrix', () => {
  it('holds all columns of an input together', () => {
    const matrix = matrixOf({ runs: 2, real: 2, padded: 64 }, { runs: 2, real: 2, padded: 64 });
    const target = new Float32Array(128 * 128).fill(99);
    // output o, input i has the value 10·o + i + 1
    packFloatMatrix(Float32Array.from({ length: 16 }, (_, at) => 10 * Math.floor(at / 4) + (at % 4) + 1), matrix, target);
    const expected = new Float32Array(128 * 128);
    for (const [row, input] of [[0, 0], [1, 1], [64, 2], [65, 3]] as const) {
      expected.set([input + 1, input + 11], row * 128);
      expected.set([input + 21, input + 31], row * 128 + 64);
    }
    expect(Buffer.from(target.buffer).equals(Buffer.from(expected.buffer))).to.equal(true);
  });
});

describe('packed rows', () => {
  it('are int8 with a scale each, or floats, padded at their end', () => {
    const values = Float32Array.of(127, -2.5, 0.5, -127 / 2, 0, 1.5, 0, 0, 0);
    const target = { weights: new Uint8Array(12), scales: new Float32Array(3) };
    packInt8Rows(values, { width: 3, padded: 4 }, target);
    expect(Array.from(new Int8Array(target.weights.buffer))).to.deep.equal([127, -2, 0, 0, -127, 0, 3, 0, 0, 0, 0, 0]);
    expect(Array.from(target.scales)).to.deep.equal([1, 0.5, 1]);
    const floats = new Float32Array(12);
    copyRows(values, { width: 3, padded: 4 }, floats);
    expect(Array.from(floats)).to.deep.equal([127, -2.5, 0.5, 0, -63.5, 0, 1.5, 0, 0, 0, 0, 0]);
  });
});

/** What a kernel makes of the packed bytes at an input and a column, and the scale it is a multiple of. */
type Decode = (row: number, column: number) => { readonly weight: number; readonly scale: number };

const decoders: Record<string, (values: Float32Array, matrix: MatrixShape) => Decode> = {
  int8: (values, matrix) => {
    const { weights, scales } = packInt8(values, matrix);
    return (row, column) => {
      const run = row * matrix.outputs + Math.floor(column / 16) * 16;
      const lane = column % 16;
      const q = lane < 8 ? weights[run + 2 * lane]! - 128 : new Int8Array(weights.buffer)[run + 2 * (lane - 8) + 1]!;
      return { weight: q * scales[column]!, scale: scales[column]! };
    };
  },
  int4: (values, matrix) => {
    const { weights, scales } = packInt4(values, matrix);
    return (row, column) => {
      const byte = weights[(row * matrix.outputs) / 2 + Math.floor(column / 32) * 16 + (column % 16)]!;
      const scale = scales[Math.floor(row / 128) * matrix.outputs + column]!;
      return { weight: ((column % 32 < 16 ? byte % 16 : Math.floor(byte / 16)) - 8) * scale, scale };
    };
  },
  float32: (values, matrix) => {
    const target = new Float32Array(matrix.inputs * matrix.outputs);
    packFloatMatrix(values, matrix, target);
    return (row, column) => ({ weight: target[row * matrix.outputs + column]!, scale: 0 });
  },
};

describe('any packed matrix', () => {
  const pad = (real: number): number => Math.ceil(real / 64) * 64;
  const runs = fc.record({ runs: fc.integer({ min: 1, max: 3 }), real: fc.integer({ min: 1, max: 140 }) })
    .map(({ runs: count, real }) => ({ runs: count, real, padded: pad(real) }));
  const cases = fc.record({ from: runs, to: runs, spread: fc.constantFrom(1e-30, 1e-3, 1, 1e20), seed: fc.integer({ min: 1, max: 2 ** 31 - 2 }) });

  for (const [precision, decoder] of Object.entries(decoders)) {
    it(`${precision}: decodes to within half a step of every weight, and to 0 in the padding`, () => {
      fc.assert(fc.property(cases, ({ from, to, spread, seed }) => {
        const matrix = matrixOf(from, to);
        const [rows, columns] = [from.runs * from.real, to.runs * to.real];
        let state = seed;
        const values = Float32Array.from({ length: rows * columns }, () => {
          state = (state * 48_271) % (2 ** 31 - 1);
          return spread * (state / 2 ** 30 - 1);
        });
        const decode = decoder(values, matrix);
        let worst = 0;
        let total = 0;
        for (let output = 0; output < columns; output += 1) {
          for (let input = 0; input < rows; input += 1) {
            const { weight, scale } = decode(paddedIndex(matrix.from, input), paddedIndex(matrix.to, output));
            const error = Math.abs(weight - values[output * rows + input]!);
            worst = Math.max(worst, scale === 0 ? error : error / scale);
            total += Math.abs(weight);
          }
        }
        expect(worst).to.be.at.most(precision === 'float32' ? 0 : 0.5 + 1e-4);
        let everywhere = 0;
        for (let column = 0; column < matrix.outputs; column += 1) for (let row = 0; row < matrix.inputs; row += 1) everywhere += Math.abs(decode(row, column).weight);
        expect(everywhere / total).to.be.closeTo(1, 1e-9);
      }), { numRuns: 12 });
    });
  }
});
