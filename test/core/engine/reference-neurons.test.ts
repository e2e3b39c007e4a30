import { expect } from 'chai';

import type { EngineKernels } from '../../../src/core/engine/kernels.js';
import { RESET_CODES } from '../../../src/core/engine/kernels.js';
import { carriedMembrane } from '../../../src/core/engine/reference-neurons.js';
import type { KernelArena } from '../../support/kernel-memory.js';
import { packSpikes, referenceArena, unpackSpikes } from '../../support/kernel-memory.js';
import { neuronForward } from '../../support/lif-reference.js';

const RESETS = ['soft', 'soft-leaked', 'hard'] as const;
type Reset = (typeof RESETS)[number];

/** Decay 0.9: currents, threshold, and per reset the membranes before firing. */
const GOLDEN: readonly { current: number[]; threshold: number; membranes: Record<Reset, number[]>; spikes: Record<Reset, string> }[] = [
  {
    current: [0.6, 0.6, 0.6, 0.6], threshold: 1,
    membranes: { soft: [0.6, 1.14, 0.626, 1.1634], 'soft-leaked': [0.6, 1.14, 0.726, 1.2534], hard: [0.6, 1.14, 0.6, 1.14] },
    spikes: { soft: '0101', 'soft-leaked': '0101', hard: '0101' },
  },
  {
    current: [0.6, 0.6, 0.6, 0.6], threshold: 0.7,
    membranes: { soft: [0.6, 1.14, 0.926, 0.7334], 'soft-leaked': [0.6, 1.14, 0.996, 0.8664], hard: [0.6, 1.14, 0.6, 1.14] },
    spikes: { soft: '0111', 'soft-leaked': '0111', hard: '0101' },
  },
  {
    current: [1.5, 0.2, 0.9, 0.1], threshold: 1,
    membranes: { soft: [1.5, 0.55, 1.395, 0.3555], 'soft-leaked': [1.5, 0.65, 1.485, 0.5365], hard: [1.5, 0.2, 1.08, 0.1] },
    spikes: { soft: '1010', 'soft-leaked': '1010', hard: '1010' },
  },
  {
    current: [-0.5, 1.8, 0.4, 2.5], threshold: 0.7,
    membranes: { soft: [-0.5, 1.35, 0.915, 2.6235], 'soft-leaked': [-0.5, 1.35, 0.985, 2.7565], hard: [-0.5, 1.35, 0.4, 2.86] },
    spikes: { soft: '0111', 'soft-leaked': '0111', hard: '0101' },
  },
];

interface Neurons {
  /** [vector][channel]; channels not given are 0. */ readonly currents: readonly (readonly number[])[];
  readonly bias: readonly number[];
  readonly threshold: readonly number[];
  readonly tokens: number;
  readonly decay: number;
  readonly reset: Reset;
}

/** Fires 64 neurons, those not described with an infinite threshold; the spikes as channel lists, and the returned count. */
function fireWith(kind: 'int' | 'float' | 'negated', neurons: Neurons): { spikes: number[][]; count: number } {
  const { arena, kernels } = referenceArena();
  const vectors = neurons.currents.length;
  const values = kind === 'int' ? new Int32Array(64 * vectors) : new Float32Array(64 * vectors);
  neurons.currents.forEach((row, v) => values.set(row, 64 * v));
  const x = arena.place(values, 'x');
  const bias = arena.place(Float32Array.from({ length: 64 }, (_, c) => neurons.bias[c] ?? 0), 'bias');
  const threshold = arena.place(Float32Array.from({ length: 64 }, (_, c) => neurons.threshold[c] ?? Infinity), 'threshold');
  const bits = arena.place(new Uint8Array(8 * vectors).fill(255), 'bits');
  const [timeSteps, reset] = [vectors / neurons.tokens, RESET_CODES[neurons.reset]];
  const count = kind === 'int'
    ? kernels.fireInt(x, 64, bias, threshold, 0, 64, neurons.tokens, timeSteps, neurons.decay, reset, bits, 1)
    : kernels.fireFloat(x, 64, bias, threshold, kind === 'negated' ? 1 : 0, 0, 64, neurons.tokens, timeSteps, neurons.decay, reset, bits, 1);
  return { spikes: unpackSpikes(arena.bytes(bits, 8 * vectors), 1), count };
}

const asString = (spikes: readonly (readonly number[])[], channel: number): string =>
  spikes.map((fired) => (fired.includes(channel) ? '1' : '0')).join('');

for (const reset of RESETS) {
  describe(`engine reference neurons, ${reset} reset`, () => {
    it('carry the membranes of the golden vectors', () => {
      for (const { current, threshold, membranes } of GOLDEN) {
        const neuron = { threshold: Math.fround(threshold), decay: Math.fround(0.9), reset: RESET_CODES[reset] };
        let u = 0;
        current.forEach((input, t) => {
          u = Math.fround(Math.fround(input) + (t === 0 ? 0 : carriedMembrane(u, u >= neuron.threshold, neuron)));
          expect(u).to.be.closeTo(membranes[reset][t] ?? NaN, 5e-7);
        });
      }
    });

    it('fire as the golden vectors say on float currents', () => {
      // Four neurons at once: one golden row each, channel by channel.
      const currents = [0, 1, 2, 3].map((t) => GOLDEN.map(({ current }) => current[t] ?? NaN));
      const threshold = GOLDEN.map((row) => row.threshold);
      const { spikes, count } = fireWith('float', { currents, bias: [], threshold, tokens: 1, decay: 0.9, reset });
      expect(GOLDEN.map((_, channel) => asString(spikes, channel))).to.deep.equal(GOLDEN.map((row) => row.spikes[reset]));
      expect(count).to.equal(GOLDEN.map((row) => row.spikes[reset].replaceAll('0', '').length).reduce((a, b) => a + b));
    });

    it('fire alike on integer currents of ten times the size', () => {
      const currents = [0, 1, 2, 3].map((t) => GOLDEN.map(({ current }) => Math.round(10 * (current[t] ?? NaN))));
      const threshold = GOLDEN.map((row) => 10 * row.threshold);
      const { spikes } = fireWith('int', { currents, bias: [], threshold, tokens: 1, decay: 0.9, reset });
      expect(GOLDEN.map((_, channel) => asString(spikes, channel))).to.deep.equal(GOLDEN.map((row) => row.spikes[reset]));
    });

    it('agree with the scalar neuron on a grid full of ties', () => {
      const attrs = { timeSteps: 4, decay: 0.5, threshold: 1, reset, surrogate: 'atan', alpha: 2, detachReset: false } as const;
      for (let round = 0; round < 4; round++) {
        const current = (channel: number, t: number): number => (((round * 64 + channel) >> (2 * t)) & 3) / 2;
        const channels = Array.from({ length: 64 }, (_, c) => c);
        const currents = [0, 1, 2, 3].map((t) => channels.map((c) => current(c, t)));
        const { spikes } = fireWith('float', { currents, bias: [], threshold: channels.map(() => 1), tokens: 1, decay: 0.5, reset });
        const expected = channels.map((c) => neuronForward([0, 1, 2, 3].map((t) => current(c, t)), attrs).s.join(''));
        expect(channels.map((c) => asString(spikes, c))).to.deep.equal(expected);
      }
    });

    it('start every token from rest', () => {
      const currents = [[0.6], [0.6], [0.6], [0.6]];
      const { spikes, count } = fireWith('float', { currents, bias: [], threshold: [1], tokens: 2, decay: 0.9, reset });
      expect(asString(spikes, 0)).to.equal('0101');
      const single = fireWith('float', { currents, bias: [], threshold: [1], tokens: 4, decay: 0.9, reset });
      expect([asString(single.spikes, 0), count, single.count]).to.deep.equal(['0000', 2, 0]);
    });
  });
}

describe('engine reference neurons', () => {
  it('never fire under an infinite threshold and fire at equality', () => {
    const neurons: Neurons = { currents: [[1, 1, 3e38]], bias: [0, -0.5], threshold: [1, 0.5], tokens: 1, decay: 1, reset: 'hard' };
    expect(fireWith('float', neurons)).to.deep.equal({ spikes: [[0, 1]], count: 2 });
  });

  it('see bias − x when negated', () => {
    const neurons: Neurons = { currents: [[-1, 1, 0.25]], bias: [0, 0, 0.5], threshold: [1, 1, 0.25], tokens: 1, decay: 1, reset: 'soft' };
    expect(fireWith('negated', neurons).spikes).to.deep.equal([[0, 2]]);
    expect(fireWith('float', neurons).spikes).to.deep.equal([[1, 2]]);
  });

  it('round an integer sum to float32 before the bias is added', () => {
    // 2²⁴ + 1 rounds to 2²⁴, so one more leaves it there; 2²⁴ + 3 rounds to 2²⁴ + 4.
    const neurons: Neurons = {
      currents: [[2 ** 24 + 1, 2 ** 24 + 3, 2 ** 24 + 1]], bias: [1, 0, 2], threshold: [2 ** 24 + 1.5, 2 ** 24 + 4, 2 ** 24 + 2],
      tokens: 1, decay: 1, reset: 'soft',
    };
    expect(fireWith('int', neurons).spikes).to.deep.equal([[1, 2]]);
  });

  it('leave the bits of columns outside the range alone, in a row that is wider than the layer', () => {
    const { arena, kernels } = referenceArena();
    const x = arena.place(new Float32Array(2 * 192).fill(1), 'x');
    const bias = arena.place(new Float32Array(192), 'bias');
    const threshold = arena.place(new Float32Array(192).fill(1).fill(2, 66, 128), 'threshold');
    // Rows of 5 words of which the layer's columns begin at word 1; this call owns columns 64 … 127, so word 2.
    const bits = arena.place(new Uint8Array(2 * 5 * 8).fill(0xaa), 'bits');
    const count = kernels.fireFloat(x, 192, bias, threshold, 0, 64, 128, 2, 1, 0.9, 0, bits + 8, 5);
    expect(count).to.equal(4);
    const row = [0xaa, 0xaa, 0, 0xaa, 0xaa].flatMap((byte, word) => (word === 2 ? [3, 0, 0, 0, 0, 0, 0, 0] : new Array<number>(8).fill(byte)));
    expect([...arena.bytes(bits, 80)]).to.deep.equal([...row, ...row]);
  });
});

describe('engine reference additions to the stream', () => {
  type Placed = { arena: KernelArena; kernels: EngineKernels; stream: number; read: () => number[] };
  /** Two vectors of 128 columns, all 10; only columns 64 … 127 are added to. */
  const place = (): Placed => {
    const { arena, kernels } = referenceArena();
    const stream = arena.place(new Float32Array(2 * 128).fill(10), 'stream');
    return { arena, kernels, stream, read: () => [...arena.floats(stream, 256)] };
  };
  const expected = (changed: Record<number, number>): number[] => Array.from({ length: 256 }, (_, i) => changed[i] ?? 10);

  it('addCurrentInt scales, adds the bias and adds, rounding each', () => {
    const { arena, kernels, stream, read } = place();
    const acc = arena.place(new Int32Array(256).fill(99, 0, 64).fill(3, 64, 65).fill(2 ** 24 + 1, 192, 193), 'acc');
    const scale = arena.place(new Float32Array(128).fill(1).fill(0.5, 64, 65), 'scale');
    const bias = arena.place(new Float32Array(128).fill(7, 0, 64).fill(0.25, 65, 66), 'bias');
    kernels.addCurrentInt(acc, scale, bias, stream, 128, 64, 128, 2);
    // 2²⁴ + 1 is 2²⁴ as float32, halved 2²³, + 10.
    expect(read()).to.deep.equal(expected({ 64: 11.5, 65: 10.25, 192: 2 ** 23 + 10, 193: 10.25 }));
  });

  it('addCurrentFloat adds', () => {
    const { arena, kernels, stream, read } = place();
    const acc = arena.place(new Float32Array(256).fill(5, 0, 64).fill(-4, 127, 128).fill(2 ** 24 - 9, 192, 193), 'acc');
    kernels.addCurrentFloat(acc, stream, 128, 64, 128, 2);
    // 2²⁴ + 1 rounds to even.
    expect(read()).to.deep.equal(expected({ 127: 6, 192: 2 ** 24 }));
  });

  it('addSpikes adds one where a channel fired', () => {
    const { arena, kernels, stream, read } = place();
    const bits = arena.place(packSpikes([[0, 64, 95], [127]], 3), 'bits');
    kernels.addSpikes(bits, 3, stream, 128, 64, 128, 2);
    expect(read()).to.deep.equal(expected({ 64: 11, 95: 11, 255: 11 }));
  });
});
