import { expect } from 'chai';

import { referenceArena } from '../../support/kernel-memory.js';

const f = Math.fround;

/** A vector of 64 with the given first values. */
const padded = (values: readonly number[], rest = 0): Float32Array => Float32Array.from({ length: 64 }, (_, c) => values[c] ?? rest);

describe('engine reference embedding', () => {
  it('scales int8 rows, adds the position, applies the gain, and repeats for every time step', () => {
    const { arena, kernels } = referenceArena();
    const row = arena.place(new Int8Array(64).fill(-127, 1, 2).fill(3, 2, 3), 'row');
    const position = arena.place(padded([0.5, 0, -1]), 'position');
    const stream = arena.place(new Float32Array(3 * 64).fill(-7), 'stream');
    kernels.embedInt8(row, 0.25, position, 4, stream, 64, 2);
    const vector = [...padded([2, -127, -1])];
    expect([...arena.floats(stream, 192)]).to.deep.equal([...vector, ...vector, ...new Array<number>(64).fill(-7)]);
  });

  it('rounds after every operation and takes scale and gain as float32', () => {
    const { arena, kernels } = referenceArena();
    const row = arena.place(new Int8Array(64).fill(77), 'row');
    const floatRow = arena.place(padded([], f(0.1)), 'float row');
    const position = arena.place(padded([], f(0.7)), 'position');
    const stream = arena.place(new Float32Array(64), 'stream');
    kernels.embedInt8(row, 0.1, position, 1.1, stream, 64, 1);
    expect(arena.floats(stream, 1)[0]).to.equal(f(f(f(77 * f(0.1)) + f(0.7)) * f(1.1)));
    kernels.embedFloat(floatRow, position, 1.1, stream, 64, 1);
    expect(arena.floats(stream, 1)[0]).to.equal(f(f(f(0.1) + f(0.7)) * f(1.1)));
  });
});

describe('engine reference readout', () => {
  function readout(input: { steps: number[][]; channels: number; weight: number[]; bias: number[]; epsilon: number }): number[] {
    const { arena, kernels } = referenceArena();
    // Padding of the stream and of the output holds 9, which must neither count nor stay.
    const stream = arena.place(Float32Array.from(input.steps.flatMap((step) => [...padded(step, 9)])), 'stream');
    const weight = arena.place(padded(input.weight), 'weight');
    const bias = arena.place(padded(input.bias), 'bias');
    const out = arena.place(padded([], 9), 'out');
    kernels.readout(stream, input.steps.length, input.channels, 64, weight, bias, input.epsilon, out);
    expect([...arena.floats(out + 4 * input.channels, 64 - input.channels)]).to.deep.equal(new Array(64 - input.channels).fill(0));
    return [...arena.floats(out, input.channels)];
  }

  it('normalises the mean over time', () => {
    // Means 1, 3, 5, 7: mean 4, variance 5; with epsilon 4 the divisor is 3.
    const steps = [[0, 3, 5, 6], [2, 3, 5, 8]];
    const third = f(-1 / 3);
    expect(readout({ steps, channels: 4, weight: [1, 2, 3, -1], bias: [0, 1, 0, 0.5], epsilon: 4 }))
      .to.deep.equal([-1, f(f(third * 2) + 1), f(-third * 3), -0.5]);
  });

  it('gives the bias when all channels agree', () => {
    expect(readout({ steps: [[2, 2, 2]], channels: 3, weight: [5, 5, 5], bias: [1, -2, 0], epsilon: 1e-5 })).to.deep.equal([1, -2, 0]);
  });

  it('sums over time in float32, ascending', () => {
    // 2²⁴ + 1 + 1 stays 2²⁴: means 2²² and 0, variance 2⁴², so exactly ±1/2 with epsilon 3·2⁴².
    const steps = [[2 ** 24, 0], [1, 0], [1, 0], [0, 0]];
    expect(readout({ steps, channels: 2, weight: [1, 1], bias: [0, 0], epsilon: 3 * 2 ** 42 })).to.deep.equal([0.5, -0.5]);
  });
});

describe('engine reference quantise', () => {
  function quantise(values: number[], limit: number): { unit: number; integers: number[] } {
    const { arena, kernels } = referenceArena();
    const x = arena.place(padded(values), 'x');
    const out = arena.place(new Int16Array(64).fill(55), 'out');
    const unit = kernels.quantise(x, 64, limit, out);
    const integers = [...new Int16Array(arena.memory.buffer, out, 64)];
    expect(integers.slice(values.length)).to.deep.equal(new Array(64 - values.length).fill(0));
    return { unit, integers: integers.slice(0, values.length) };
  }

  it('rounds ties to even', () => {
    expect(quantise([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.75, -4], 4)).to.deep.equal({ unit: 1, integers: [0, 2, 2, 0, -2, -2, 1, -4] });
  });

  it('maps the largest magnitude to the limit', () => {
    expect(quantise([-0.25, 0.125, 0.25], 32767)).to.deep.equal({ unit: f(0.25 / 32767), integers: [-32767, 16384, 32767] });
    expect(quantise([3, -1], 127)).to.deep.equal({ unit: f(3 / 127), integers: [127, -42] });
  });

  it('answers zero for a vector of zeros', () => {
    expect(quantise([0, -0, 0], 32767)).to.deep.equal({ unit: 0, integers: [0, 0, 0] });
  });
});

describe('engine reference head', () => {
  const read = (logits: Float32Array): number[] => [...logits];

  it('headInt8 scales exact integer sums and writes only its vocabulary rows', () => {
    const { arena, kernels } = referenceArena();
    const x = new Int16Array(2 * 64);
    x.set([1, -2, 0, 300], 0);
    x.set([32767], 64 + 63);
    const weights = new Int8Array(4 * 64);
    weights.set([3, 4, 5, -6], 64); // row 1
    weights.set([127], 2 * 64 + 63); // row 2
    const inputs = arena.place(x, 'x');
    const xScales = arena.place(Float32Array.of(0.5, 2), 'xScales');
    const packed = arena.place(weights, 'weights');
    const scales = arena.place(Float32Array.of(1, 0.25, 1, 1), 'scales');
    const logits = arena.place(new Float32Array(8).fill(-7), 'logits');
    kernels.headInt8(inputs, xScales, 2, packed, scales, 1, 3, logits, 64, 4);
    // Token 0, row 1: 3 − 8 − 1800 = −1805, times 0.5·0.25. Token 1, row 2: 32767·127 = 4161409, times 2.
    expect(read(arena.floats(logits, 8))).to.deep.equal([-7, -1805 / 8, 0, -7, -7, 0, 8322818, -7]);
  });

  it('headInt8 rounds the sum, the product of the scales and the logit', () => {
    const { arena, kernels } = referenceArena();
    const x = arena.place(new Int16Array(64).fill(32767), 'x');
    const weights = arena.place(new Int8Array(64).fill(127, 0, 5).fill(1, 5, 6), 'weights');
    const xScales = arena.place(Float32Array.of(f(0.1)), 'xScales');
    const scales = arena.place(Float32Array.of(f(0.3)), 'scales');
    const logits = arena.place(new Float32Array(1), 'logits');
    kernels.headInt8(x, xScales, 1, weights, scales, 0, 1, logits, 64, 1);
    expect(arena.floats(logits, 1)[0]).to.equal(f(f(32767 * 636) * f(f(0.1) * f(0.3))));
  });

  it('headFloat sums in four lanes joined as (0+2)+(1+3), and writes only its vocabulary rows', () => {
    const { arena, kernels } = referenceArena();
    const weights = new Float32Array(3 * 64);
    // Lane 0: 2²⁴ + 1 + 1 stays 2²⁴; lane 1: 1; lane 2: −2²⁴; lane 3: 1. Joined 0 + 2, where one sum would give 3 or 4.
    weights.set([2 ** 24, 1, -(2 ** 24), 1, 1, 0, 0, 0, 1], 64);
    weights.set([0.5, 0.5], 128);
    const x = arena.place(Float32Array.from([...padded([], 1), ...padded([2, -1])]), 'x');
    const packed = arena.place(weights, 'weights');
    const logits = arena.place(new Float32Array(6).fill(-7), 'logits');
    kernels.headFloat(x, 2, packed, 1, 3, logits, 64, 3);
    expect(read(arena.floats(logits, 6))).to.deep.equal([-7, 2, 1, -7, 2 ** 25, 0.5]);
  });
});
