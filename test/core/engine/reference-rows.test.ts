import { expect } from 'chai';

import type { KernelArena } from '../../support/kernel-memory.js';
import { packSpikes, referenceArena } from '../../support/kernel-memory.js';

/** int8 weights that are all 0: a byte of 128 in even places, 0 in odd ones. */
const zeroInt8 = (bytes: number): Uint8Array => Uint8Array.from({ length: bytes }, (_, i) => (i % 2 === 0 ? 128 : 0));
/** int4 weights that are all 0. */
const zeroInt4 = (bytes: number): Uint8Array => new Uint8Array(bytes).fill(0x88);

/** Accumulators holding −7, and counters that already hold 100 and 1000. */
function outcome(arena: KernelArena, acc: Int32Array | Float32Array): { acc: number; counts: number; work: () => number[] } {
  const counts = arena.place(Float64Array.of(100, 1000), 'counts');
  return {
    acc: arena.place(acc.fill(-7), 'acc'), counts,
    work: () => [...arena.doubles(counts, 2)].map((total, i) => total - [100, 1000][i]!),
  };
}

/** Columns that are not 0, with their values. */
const nonZero = (row: Iterable<number>): Record<number, number> => Object.fromEntries([...row].flatMap((x, c) => (x === 0 ? [] : [[c, x]])));

describe('engine reference addRowsInt8', () => {
  it('reads byte 2k as column k plus 128 and byte 2k + 1 as column 8 + k, of every 16 columns', () => {
    const { arena, kernels } = referenceArena();
    const weights = zeroInt8(64 * 64);
    weights.set([128 + 5, 256 - 2, 128 - 127, 127], 64 * 3); // input 3: columns 0, 8, 1, 9
    weights.set([1, 0, 255], 64 * 3 + 16 * 3); // input 3, third run after the first: columns 48 and 49
    weights.set([128, 0, 128 + 4], 64 * 63); // input 63: column 1
    weights.set([255, 127], 64 * 10); // input 10 does not fire
    const bits = arena.place(packSpikes([[3], [3, 63], []], 1), 'bits');
    const packed = arena.place(weights, 'weights');
    const { acc, counts, work } = outcome(arena, new Int32Array(3 * 64));
    kernels.addRowsInt8(bits, 1, 3, packed, 64, 0, 64, acc, 0, counts);
    expect(nonZero(arena.ints(acc, 64))).to.deep.equal({ 0: 5, 1: -127, 8: -2, 9: 127, 48: -127, 49: 127 });
    expect(nonZero(arena.ints(acc + 256, 64))).to.deep.equal({ 0: 5, 1: -123, 8: -2, 9: 127, 48: -127, 49: 127 });
    expect(nonZero(arena.ints(acc + 512, 64))).to.deep.equal({});
    // Three spikes, of two different inputs.
    expect(work()).to.deep.equal([3 * 64, 2 * 64]);
  });

  it('finds a column in the row of its input and leaves columns outside the range alone', () => {
    const { arena, kernels } = referenceArena();
    const weights = zeroInt8(128 * 448);
    // Input 70 holds 1 + column / 64 in the first column of every 64; its row starts at byte 70 · 448 = 31360.
    for (let word = 0; word < 7; word++) weights[31_360 + 64 * word] = 129 + word;
    const bits = arena.place(packSpikes([[70]], 2), 'bits');
    const packed = arena.place(weights, 'weights');
    const { acc, counts, work } = outcome(arena, new Int32Array(448));
    kernels.addRowsInt8(bits, 2, 1, packed, 448, 64, 384, acc, 0, counts);
    const sums = arena.ints(acc, 448);
    expect(nonZero(sums.subarray(64, 384))).to.deep.equal({ 0: 2, 64: 3, 128: 4, 192: 5, 256: 6 });
    expect([...sums.subarray(0, 64), ...sums.subarray(384)]).to.deep.equal(new Array(128).fill(-7));
    expect(work()).to.deep.equal([320, 320]);
  });

  it('sums 1024 extreme rows without losing a bit', () => {
    const { arena, kernels } = referenceArena();
    const weights = Uint8Array.from({ length: 1024 * 64 }, (_, i) => (i % 2 === 0 ? 128 - 127 : 127));
    const bits = arena.place(packSpikes([Array.from({ length: 1024 }, (_, c) => c)], 16), 'bits');
    const packed = arena.place(weights, 'weights');
    const { acc, counts } = outcome(arena, new Int32Array(64));
    kernels.addRowsInt8(bits, 16, 1, packed, 64, 0, 64, acc, 0, counts);
    expect([...arena.ints(acc, 10)]).to.deep.equal([...new Array<number>(8).fill(-130048), 130048, 130048]);
  });
});

describe('engine reference addRowsFloat', () => {
  it('starts from the bias and rounds after every row, inputs ascending', () => {
    const { arena, kernels } = referenceArena();
    const weights = new Float32Array(64 * 128);
    // Column 0: 2²⁴ + 1 + 1 stays 2²⁴ in this order. Column 64: 1 + 1 + 2²⁴ does not.
    weights[128 * 2] = weights[128 * 5] = 1;
    weights[128 * 2 + 64] = 1;
    weights[128 * 5 + 64] = 2 ** 24;
    const bits = arena.place(packSpikes([[2, 5], [], [5]], 1), 'bits');
    const packed = arena.place(weights, 'weights');
    const bias = arena.place(new Float32Array(128).fill(0.25).fill(2 ** 24, 0, 1).fill(1, 64, 65), 'bias');
    const { acc, counts, work } = outcome(arena, new Float32Array(3 * 128));
    kernels.addRowsFloat(bits, 1, 3, packed, bias, 128, 0, 128, acc, 0, counts);
    const sums = arena.floats(acc, 3 * 128);
    expect([sums[0], sums[64], sums[1]]).to.deep.equal([2 ** 24, 2 ** 24 + 2, 0.25]);
    expect([...sums.subarray(128, 256)]).to.deep.equal([...arena.floats(bias, 128)]);
    expect([sums[256], sums[256 + 64]]).to.deep.equal([2 ** 24, 2 ** 24]);
    expect(work()).to.deep.equal([3 * 128, 2 * 128 * 4]);
  });

  it('leaves columns outside the range alone', () => {
    const { arena, kernels } = referenceArena();
    const bits = arena.place(packSpikes([[0]], 1), 'bits');
    const packed = arena.place(new Float32Array(64 * 192).fill(1), 'weights');
    const bias = arena.place(new Float32Array(192).fill(0.5), 'bias');
    const { acc, counts, work } = outcome(arena, new Float32Array(192));
    kernels.addRowsFloat(bits, 1, 1, packed, bias, 192, 64, 128, acc, 0, counts);
    const expected = [-7, 1.5, -7].flatMap((x) => new Array<number>(64).fill(x));
    expect([...arena.floats(acc, 192)]).to.deep.equal(expected);
    expect(work()).to.deep.equal([64, 256]);
  });
});

describe('engine reference addRowsInt4', () => {
  it('reads column k from the low and column 16 + k from the high nibble, of every 32 columns', () => {
    const { arena, kernels } = referenceArena();
    const weights = zeroInt4(64 * 32);
    weights.set([0xf1, 0x89], 32 * 3); // input 3: columns 0 (−7), 16 (7), 1 (1)
    weights.set([0x18], 32 * 3 + 16 + 15); // second 32 columns: column 63 (−7)
    weights.set([0x8b], 32 * 7); // input 7: column 0 (3)
    const bits = arena.place(packSpikes([[3, 7], [3], []], 1), 'bits');
    const packed = arena.place(weights, 'weights');
    const scales = arena.place(new Float32Array(64).fill(0.5), 'scales');
    const bias = arena.place(new Float32Array(64).fill(0.125, 0, 1), 'bias');
    const { acc, counts, work } = outcome(arena, new Float32Array(3 * 64));
    kernels.addRowsInt4(bits, 1, 3, packed, scales, bias, 64, 0, 64, acc, 0, counts);
    expect(nonZero(arena.floats(acc, 64))).to.deep.equal({ 0: -1.875, 1: 0.5, 16: 3.5, 63: -3.5 });
    expect(nonZero(arena.floats(acc + 256, 64))).to.deep.equal({ 0: -3.375, 1: 0.5, 16: 3.5, 63: -3.5 });
    expect(nonZero(arena.floats(acc + 512, 64))).to.deep.equal({ 0: 0.125 });
    expect(work()).to.deep.equal([3 * 64, (2 * 64) / 2]);
  });

  it('sums each group of 128 inputs before it scales it, and rounds after each group', () => {
    const { arena, kernels } = referenceArena();
    // Every weight of column 0 is 1; the last group has only 64 inputs.
    const weights = zeroInt4(320 * 32);
    for (let input = 0; input < 320; input++) weights[32 * input] = 0x89;
    const bits = arena.place(packSpikes([[0, 127, 128, 319], [319]], 5), 'bits');
    const packed = arena.place(weights, 'weights');
    const scales = new Float32Array(3 * 64);
    [scales[0], scales[64], scales[128]] = [2 ** 23, 1, 3];
    const scaleAddress = arena.place(scales, 'scales');
    const bias = arena.place(new Float32Array(64), 'bias');
    const { acc, counts } = outcome(arena, new Float32Array(2 * 64));
    kernels.addRowsInt4(bits, 5, 2, packed, scaleAddress, bias, 64, 0, 64, acc, 0, counts);
    // 2·2²³, then + 1 is lost, then + 3 rounds to + 4.
    expect(arena.floats(acc, 1)[0]).to.equal(2 ** 24 + 4);
    expect(arena.floats(acc + 256, 1)[0]).to.equal(3);
  });

  it('does not touch a sum whose group has no spikes, not even the sign of zero', () => {
    const { arena, kernels } = referenceArena();
    const bits = arena.place(packSpikes([[], [5]], 1), 'bits');
    const packed = arena.place(zeroInt4(64 * 32), 'weights');
    const scales = arena.place(new Float32Array(64).fill(1), 'scales');
    const bias = arena.place(new Float32Array(64).fill(-0), 'bias');
    const { acc, counts } = outcome(arena, new Float32Array(2 * 64));
    kernels.addRowsInt4(bits, 1, 2, packed, scales, bias, 64, 0, 64, acc, 0, counts);
    expect(Object.is(arena.floats(acc, 1)[0], -0)).to.equal(true);
    expect(Object.is(arena.floats(acc + 256, 1)[0], 0)).to.equal(true);
  });

  it('finds a column in the row of its input and leaves columns outside the range alone', () => {
    const { arena, kernels } = referenceArena();
    const weights = zeroInt4((192 * 448) / 2);
    // Input 130 holds 1 + column / 64 in the first column of every 64; its row starts at byte 130 · 224 = 29120.
    for (let word = 0; word < 7; word++) weights[29_120 + 32 * word] = 0x89 + word;
    const bits = arena.place(packSpikes([[130]], 3), 'bits');
    const packed = arena.place(weights, 'weights');
    const scales = arena.place(new Float32Array(2 * 448).fill(100, 0, 448).fill(2, 448), 'scales');
    const bias = arena.place(new Float32Array(448), 'bias');
    const { acc, counts, work } = outcome(arena, new Float32Array(448));
    kernels.addRowsInt4(bits, 3, 1, packed, scales, bias, 448, 128, 384, acc, 0, counts);
    const sums = arena.floats(acc, 448);
    expect(nonZero(sums.subarray(128, 384))).to.deep.equal({ 0: 6, 64: 8, 128: 10, 192: 12 });
    expect([...sums.subarray(0, 128), ...sums.subarray(384)]).to.deep.equal(new Array(192).fill(-7));
    expect(work()).to.deep.equal([256, 128]);
  });
});
