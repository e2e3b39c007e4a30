import { expect } from 'chai';
import fc from 'fast-check';

import { UsageError } from '../../../src/core/errors.js';
import { cutWindows } from '../../../src/core/eval/windows.js';

describe('windows', () => {
  it('cuts without overlap: 8 ids at context 3', () => {
    expect(cutWindows([8], { contextLength: 3, stride: 3 })).to.deep.equal([
      { sequence: 0, start: 0, length: 3, firstScored: 0 },
      { sequence: 0, start: 3, length: 3, firstScored: 0 },
      { sequence: 0, start: 6, length: 1, firstScored: 0 },
    ]);
  });

  it('keeps context − stride tokens before the first new target', () => {
    expect(cutWindows([9], { contextLength: 4, stride: 2 })).to.deep.equal([
      { sequence: 0, start: 0, length: 4, firstScored: 0 },
      { sequence: 0, start: 2, length: 4, firstScored: 2 },
      { sequence: 0, start: 4, length: 4, firstScored: 2 },
    ]);
  });

  it('gives nothing for sequences with no target', () => {
    expect(cutWindows([1, 0, 2], { contextLength: 4, stride: 4 })).to.deep.equal([{ sequence: 2, start: 0, length: 1, firstScored: 0 }]);
  });

  it('scores every target exactly once, never over the context, with the promised left context', () => {
    fc.assert(fc.property(fc.array(fc.nat(60), { maxLength: 4 }), fc.integer({ min: 1, max: 12 }), fc.nat(11), (lengths, contextLength, cut) => {
      const stride = Math.max(1, contextLength - cut);
      const targets = lengths.map(() => [] as number[]);
      for (const w of cutWindows(lengths, { contextLength, stride })) {
        expect(w.length).to.be.within(1, contextLength);
        if (w.start > 0) expect(w.firstScored).to.equal(contextLength - stride);
        for (let i = w.firstScored; i < w.length; i++) targets[w.sequence]!.push(w.start + i + 1);
      }
      targets.forEach((list, s) => expect(list).to.deep.equal(Array.from({ length: Math.max(0, lengths[s]! - 1) }, (_, i) => i + 1)));
    }));
  });

  for (const stride of [0, 5, 1.5, NaN]) {
    it(`refuses a stride of ${stride} at context 4`, () => {
      expect(() => cutWindows([9], { contextLength: 4, stride })).to.throw(UsageError, `from 1 to the context (4), found ${stride}`).with.property('exitCode', 2);
    });
  }

  it('refuses a context of 0', () => {
    expect(() => cutWindows([9], { contextLength: 0, stride: 1 })).to.throw(UsageError, 'found 0');
  });
});
