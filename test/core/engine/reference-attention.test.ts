import { expect } from 'chai';

import type { KernelArena } from '../../support/kernel-memory.js';
import { packSpikes, referenceArena, unpackSpikes } from '../../support/kernel-memory.js';

interface Model {
  readonly heads: number;
  readonly headWidth: number;
  readonly timeSteps: number;
  readonly contextLength: number;
  /** Per head: threshold and the bias of each distance, 0 where not given. */
  readonly neurons: readonly { readonly threshold: number; readonly distance: readonly number[] }[];
  readonly decay: number;
  readonly reset: number;
  readonly pages: number;
  /** Bytes of other layers before this one in a page. */ readonly layerOffset: number;
}

/** Channels that fired in the query, key and value of one vector. */
type Vector = readonly [query: readonly number[], key: readonly number[], value: readonly number[]];

interface Attention {
  readonly arena: KernelArena;
  readonly dWords: number;
  /** Addresses of the pages, the first one last in memory. */ readonly pages: readonly number[];
  /** Stores tokens (one vector per time step and token) from a position on, then attends; the sums per vector as channel → sum. */
  attend(vectors: readonly Vector[], start: number): { spikes: number; sums: Record<number, number>[] };
  /** Stores tokens without attending. */
  store(vectors: readonly Vector[], start: number, heads?: readonly [number, number]): number;
}

function createAttention(model: Model): Attention {
  const { arena, kernels } = referenceArena();
  const { heads, headWidth, timeSteps, contextLength } = model;
  const dWords = Math.ceil((heads * headWidth) / 64);
  const pageBytes = model.layerOffset + 2 * heads * timeSteps * Math.ceil(headWidth / 64) * 512;
  const pages = Array.from({ length: model.pages }, (_, p) => arena.place(new Uint8Array(pageBytes).fill(255), `page ${p}`)).reverse();
  const pageTable = arena.place(Uint32Array.from(pages), 'pageTable');
  const biasStride = Math.ceil((contextLength + 4) / 4) * 4;
  const table = new Float32Array(heads * biasStride);
  model.neurons.forEach(({ distance }, h) => distance.forEach((r, d) => { table[h * biasStride + contextLength - 1 - d] = r; }));
  const reversed = arena.place(table, 'reversed');
  const thresholds = arena.place(Float32Array.from(model.neurons, ({ threshold }) => threshold), 'thresholds');
  const store: Attention['store'] = (vectors, start, [first, last] = [0, heads]) => {
    const shift = (channels: readonly number[], third: number): number[] => channels.map((c) => c + 64 * dWords * third);
    const bits = arena.place(packSpikes(vectors.map((thirds) => thirds.flatMap(shift)), 3 * dWords), 'bits');
    kernels.storeHeads(bits, 3 * dWords, vectors.length / timeSteps, timeSteps, start, first, last, heads, headWidth, dWords, pageTable, model.layerOffset);
    return bits;
  };
  return {
    arena, dWords, pages, store,
    attend: (vectors, start) => {
      const bits = store(vectors, start);
      const width = 64 * dWords;
      const sums = arena.place(new Int32Array(vectors.length * width).fill(0), 'sums');
      for (let v = 0; v < vectors.length; v++) arena.ints(sums + 4 * width * v, heads * headWidth).fill(-7);
      const spikes = kernels.attend(bits, 3 * dWords, vectors.length / timeSteps, timeSteps, start, 0, heads, heads, headWidth, dWords,
        pageTable, model.layerOffset, reversed, biasStride, contextLength, thresholds, model.decay, model.reset, sums, 0);
      return { spikes, sums: vectors.map((_, v) => nonZero(arena.ints(sums + 4 * width * v, width))) };
    },
  };
}

const nonZero = (row: Int32Array): Record<number, number> => Object.fromEntries([...row].flatMap((x, c) => (x === 0 ? [] : [[c, x]])));

/** Two heads of 32 channels in one word; T = 2. Worked out in the tests below. */
const TWO_HEADS: Model = {
  heads: 2, headWidth: 32, timeSteps: 2, contextLength: 4, decay: 0.5, reset: 0, pages: 1, layerOffset: 64,
  neurons: [{ threshold: 2, distance: [0, 0.5] }, { threshold: 1, distance: [0.25, -1] }],
};
const FIRST: readonly Vector[] = [[[0, 1, 32], [0, 1, 2, 32], [5, 33, 63]], [[0], [0, 32], [5, 6, 40]]];
const SECOND: readonly Vector[] = [[[0, 2, 32, 34], [0, 3, 33], [7, 35]], [[1, 2, 3, 34], [1, 2, 3, 34], [5, 36]]];

describe('engine reference attention', () => {
  it('is what it is by hand: two heads sharing a word, two time steps, two tokens', () => {
    // Head 0 (threshold 2). Token 0, key 0: I = 2, 1: u = 2 fires, then 1 + (1 − 2) = 0.
    // Token 1, key 0: I = 2.5, 0.5: fires, then 0.5 + (1.25 − 2). Key 1: I = 1, 3: u = 1, then 3 + 0.5 fires.
    // Head 1 (threshold 1). Token 0, key 0: I = 1.25, 0.25: fires, then 0.25 + (0.625 − 1).
    // Token 1, key 0: I = 0, −1. Key 1: I = 0.25, 1.25: u = 0.25, then 1.25 + 0.125 fires.
    const { spikes, sums } = createAttention(TWO_HEADS).attend([...FIRST, ...SECOND], 0);
    expect(sums).to.deep.equal([{ 5: 1, 33: 1, 63: 1 }, {}, { 5: 1 }, { 5: 1, 36: 1 }]);
    expect(spikes).to.equal(5);
  });

  it('gives each token the same, whether the tokens come together or one by one', () => {
    const attention = createAttention(TWO_HEADS);
    const [first, second] = [attention.attend(FIRST, 0), attention.attend(SECOND, 1)];
    expect([...first.sums, ...second.sums]).to.deep.equal([{ 5: 1, 33: 1, 63: 1 }, {}, { 5: 1 }, { 5: 1, 36: 1 }]);
    expect(first.spikes + second.spikes).to.equal(5);
  });

  it('carries the membrane as the reset says', () => {
    // One key and decay 0.5. The value of step 1 is channel 1, which shows whether the second step fired.
    const firesAgain = (counts: readonly [number, number], threshold: number): boolean[] => [0, 1, 2].map((reset) => {
      const channels = (count: number): number[] => Array.from({ length: count }, (_, c) => c);
      const vectors: readonly Vector[] = [[channels(counts[0]), channels(4), []], [channels(counts[1]), channels(4), [1]]];
      const model = { ...TWO_HEADS, heads: 1, reset, neurons: [{ threshold, distance: [] }] };
      return createAttention(model).attend(vectors, 0).sums[1]?.[1] === 1;
    });
    // No spike before: u[1] = 1 + 0.5.
    expect(firesAgain([1, 1], 1.5)).to.deep.equal([true, true, true]);
    // After a spike u[1] = 1 + (1.5 − 1.5), 1 + (3 − 1.5)/2, 1 + 0.
    expect(firesAgain([3, 1], 1.5)).to.deep.equal([false, true, false]);
    // And 1 + (1.5 − 1.25), 1 + (3 − 1.25)/2, 1 + 0.
    expect(firesAgain([3, 1], 1.25)).to.deep.equal([true, true, false]);
  });

  it('never fires under an infinite threshold', () => {
    const silent = TWO_HEADS.neurons.map(({ distance }) => ({ threshold: Infinity, distance }));
    const { spikes, sums } = createAttention({ ...TWO_HEADS, neurons: silent }).attend([...FIRST, ...SECOND], 0);
    expect([spikes, sums]).to.deep.equal([0, [{}, {}, {}, {}]]);
  });

  it('stores a head of 80 channels in two words, 64 words apart, from bit 0 on', () => {
    const model: Model = {
      heads: 2, headWidth: 80, timeSteps: 1, contextLength: 2, decay: 1, reset: 0, pages: 1, layerOffset: 128,
      neurons: [{ threshold: 1, distance: [] }, { threshold: 2, distance: [] }],
    };
    const attention = createAttention(model);
    const { sums, spikes } = attention.attend([
      [[79, 80, 143, 144], [78, 80, 143, 144, 159], [0, 79, 80, 159]],
      [[79, 144, 159], [79, 143, 159], [64, 143]],
    ], 0);
    // Head 1 starts at channel 80: its keys are bits 0, 63 and, in the second word, 0 and 15.
    const words = (index: number): number[] => unpackSpikes(attention.arena.bytes((attention.pages[0] ?? 0) + 128 + 512 * index, 16), 1).flat();
    const stored = Array.from({ length: 8 }, (_, index) => words(index));
    // Words of [key, value][2 heads][1 step][2 words], both positions: token 0 then token 1.
    expect(stored).to.deep.equal([[], [14, 15], [0, 63, 63], [0, 15, 15], [0], [15, 0], [0, 63], [15]]);
    // Token 0: head 0 shares nothing (79 against 78); head 1 shares 80, 143, 144. Token 1: head 0 shares 79 with itself;
    // head 1 shares 144, 159 with token 0 and only 159 with itself.
    expect(sums).to.deep.equal([{ 80: 1, 159: 1 }, { 64: 1, 80: 1, 159: 1 }]);
    expect(spikes).to.equal(3);
  });

  it('stores and attends only the heads it is given', () => {
    const attention = createAttention(TWO_HEADS);
    attention.store(FIRST, 5, [1, 2]);
    const page = (attention.pages[0] ?? 0) + 64;
    const words = Array.from({ length: 8 }, (_, row) => [...attention.arena.bytes(page + 512 * row + 8 * 5, 8)]);
    const untouched = new Array<number>(8).fill(255);
    // [key, value][2 heads][2 steps]: head 0 keeps what was there.
    expect(words).to.deep.equal([untouched, untouched, [1, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0],
      untouched, untouched, [2, 0, 0, 128, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0, 0]]);
    expect([...attention.arena.bytes(page - 64, 64)]).to.deep.equal(new Array(64).fill(255));
  });

  it('goes on in the next page after 64 positions, wherever that lies', () => {
    const model: Model = {
      heads: 1, headWidth: 8, timeSteps: 1, contextLength: 80, decay: 1, reset: 0, pages: 2, layerOffset: 0,
      neurons: [{ threshold: 1, distance: [] }],
    };
    const attention = createAttention(model);
    const tokens = Array.from({ length: 66 }, (_, position): Vector => [[0], [0], [position % 8]]);
    attention.store(tokens.slice(0, 63), 0);
    const { spikes, sums } = attention.attend(tokens.slice(63), 63);
    // Position 63 sees 64 keys, 8 of each value; 64 adds a value 0 and 65 a value 1.
    const eights = { 0: 8, 1: 8, 2: 8, 3: 8, 4: 8, 5: 8, 6: 8, 7: 8 };
    expect(sums).to.deep.equal([eights, { ...eights, 0: 9 }, { ...eights, 0: 9, 1: 9 }]);
    expect(spikes).to.equal(64 + 65 + 66);
  });

  it('looks up the bias of a distance', () => {
    const model: Model = {
      heads: 1, headWidth: 64, timeSteps: 1, contextLength: 5, decay: 1, reset: 0, pages: 1, layerOffset: 0,
      neurons: [{ threshold: 1, distance: [1, 0, 1, 0, 1] }],
    };
    // No query fires, so a key is attended where its distance says so; value channel = position.
    const tokens = Array.from({ length: 5 }, (_, position): Vector => [[], [], [position]]);
    expect(createAttention(model).attend(tokens, 0).sums).to.deep.equal([{ 0: 1 }, { 1: 1 }, { 0: 1, 2: 1 }, { 1: 1, 3: 1 }, { 0: 1, 2: 1, 4: 1 }]);
  });

  it('never lets later positions matter', () => {
    const third: readonly Vector[] = [[[0, 1, 2], [0, 1, 2, 3], [1, 2]], [[1], [0, 1, 2, 3, 34], [40]]];
    const attention = createAttention(TWO_HEADS);
    const before = attention.attend([...FIRST, ...SECOND, ...third], 0);
    const other = createAttention(TWO_HEADS);
    other.store([...third, ...third, ...third, ...third], 0);
    const after = other.attend([...FIRST, ...SECOND], 0);
    expect(after.sums).to.deep.equal(before.sums.slice(0, 4));
    expect(before.sums[4]).to.not.deep.equal({});
  });
});
