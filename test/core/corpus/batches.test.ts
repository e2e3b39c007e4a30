import { expect } from 'chai';
import fc from 'fast-check';
import type { TokenBatch } from '../../../src/core/corpus/batches.js';
import { createBatches, windowsOf } from '../../../src/core/corpus/batches.js';
import { ConfigError, FormatError } from '../../../src/core/errors.js';

/** Tokens that are their own position, so that a window says where it was cut. */
const positions = (count: number): Int32Array => Int32Array.from({ length: count }, (_, i) => i);

const streams = fc.record({
  length: fc.integer({ min: 12, max: 400 }),
  batch: fc.integer({ min: 1, max: 9 }),
  context: fc.integer({ min: 1, max: 11 }),
  seed: fc.nat(),
});

/** Starts of the rows of a batch, checking that each row is the run of L+1 neighbouring tokens from there. */
function rowStarts({ tokens, starts }: TokenBatch, context: number): number[] {
  expect([...tokens]).to.deep.equal([...starts].flatMap((start) => Array.from({ length: context + 1 }, (_, i) => start + i)));
  return [...starts];
}

describe('createBatches', () => {
  it('lays 10 tokens with context 3 as two windows a pass, from a phase in 0 … 2', () => {
    // k = ⌊9/3⌋ = 3, so a pass has 2 windows: starts p and p + 3 with p < 3.
    const batches = createBatches(positions(10), { batch: 2, context: 3, seed: 1 });
    expect(batches.windowsPerEpoch).to.equal(2);
    expect(batches.batchesPerEpoch).to.equal(1);
    const phases = new Set<number>();
    for (let pass = 0; pass < 60; pass++) {
      const starts = rowStarts(batches.next(), 3).sort((a, b) => a - b) as [number, number];
      expect(starts[1] - starts[0]).to.equal(3);
      phases.add(starts[0]);
    }
    expect([...phases].sort()).to.deep.equal([0, 1, 2]);
  });

  it('hands every window of a pass out exactly once, whatever the batch', () => {
    fc.assert(fc.property(streams, ({ length, batch, context, seed }) => {
      const batches = createBatches(positions(length), { batch, context, seed });
      const windows = batches.windowsPerEpoch;
      const starts = Array.from({ length: Math.ceil((3 * windows) / batch) }, () => rowStarts(batches.next(), context)).flat();
      for (let pass = 0; pass < 3; pass++) {
        const sorted = starts.slice(pass * windows, (pass + 1) * windows).sort((a, b) => a - b);
        const phase = sorted[0] as number;
        expect(sorted).to.deep.equal(Array.from({ length: windows }, (_, i) => phase + i * context));
        expect(phase).to.be.within(0, Math.max(context - 1, length - context - 1));
      }
    }), { numRuns: 150 });
  });

  it('continues exactly from a cursor that went through JSON', () => {
    fc.assert(fc.property(streams, fc.nat({ max: 40 }), (options, before) => {
      const tokens = positions(options.length);
      const first = createBatches(tokens, options);
      for (let i = 0; i < before; i++) first.next();
      const second = createBatches(tokens, options);
      second.restore(JSON.parse(JSON.stringify(first.cursor())) as ReturnType<typeof first.cursor>);
      for (let i = 0; i < 5; i++) expect(second.next()).to.deep.equal(first.next());
      expect(second.cursor()).to.deep.equal(first.cursor());
    }), { numRuns: 150 });
  });

  it('depends on the seed, and gives arrays that do not share memory', () => {
    const tokens = positions(1000);
    const draw = (seed: number): Int32Array => createBatches(tokens, { batch: 8, context: 4, seed }).next().tokens;
    expect([...draw(1)]).to.deep.equal([...draw(1)]);
    expect([...draw(1)]).not.to.deep.equal([...draw(2)]);
    draw(1).fill(-1);
    expect([...tokens]).to.deep.equal([...positions(1000)]);
  });

  it('uses a stream with a single window, at every place it fits', () => {
    const batches = createBatches(positions(6), { batch: 1, context: 3, seed: 4 });
    const starts = new Set(Array.from({ length: 50 }, () => rowStarts(batches.next(), 3)[0]));
    expect(batches.windowsPerEpoch).to.equal(1);
    expect([...starts].sort()).to.deep.equal([0, 1, 2]);
  });

  it('cuts aligned passes at 0, L, 2L, … always, and hands every window out once, in another order each time', () => {
    const orders = new Set<string>();
    const batches = createBatches(positions(44), { batch: 14, context: 3, seed: 9, isAligned: true });
    expect(batches.windowsPerEpoch, '⌊43/3⌋').to.equal(14);
    for (let pass = 0; pass < 5; pass++) {
      const starts = rowStarts(batches.next(), 3);
      orders.add(starts.join(' '));
      expect(starts.sort((a, b) => a - b)).to.deep.equal(Array.from({ length: 14 }, (_, i) => 3 * i));
    }
    expect(orders.size).to.equal(5);
  });

  it('refuses a stream shorter than one window, and sizes that are none', () => {
    const make = (length: number, batch: number, context: number) => (): unknown => createBatches(positions(length), { batch, context, seed: 0 });
    expect(make(4, 1, 4)).to.throw(ConfigError, '4 tokens; one window of context 4 needs 5').with.property('exitCode', 3);
    expect(make(4, 0, 2)).to.throw(ConfigError, 'batch');
    expect(make(4, 1, 0)).to.throw(ConfigError, 'context');
  });

  it('refuses a cursor of another seed or corpus', () => {
    const batches = createBatches(positions(10), { batch: 1, context: 3, seed: 1 });
    expect(() => batches.restore({ epoch: 0, position: 0, seed: 2 })).to.throw(FormatError, 'seed 2').with.property('exitCode', 5);
    for (const cursor of [{ epoch: 0, position: 3, seed: 1 }, { epoch: -1, position: 0, seed: 1 }, { epoch: 0, position: 0.5, seed: 1 }]) {
      expect(() => batches.restore(cursor)).to.throw(FormatError, 'does not lie in a pass of 2 windows');
    }
  });
});

describe('windowsOf', () => {
  it('cuts 8 tokens with context 3 into 0123 and 3456, leaving token 7 out', () => {
    expect(windowsOf(positions(8), 3).map((window) => [...window])).to.deep.equal([[0, 1, 2, 3], [3, 4, 5, 6]]);
  });

  it('has each target once, in order', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 0, max: 200 }), (context, extra) => {
      const length = context + 1 + extra;
      const targets = windowsOf(positions(length), context).flatMap((window) => [...window.subarray(1)]);
      expect(targets).to.deep.equal(Array.from({ length: Math.floor((length - 1) / context) * context }, (_, i) => i + 1));
    }));
  });

  it('refuses a stream shorter than one window', () => {
    expect(() => windowsOf(positions(3), 3)).to.throw(ConfigError, 'one window').with.property('exitCode', 3);
  });
});
