import { expect } from 'chai';

import type { Range } from '../../../src/core/engine/division.js';
import { divide } from '../../../src/core/engine/division.js';
import { engineShape } from '../../../src/core/engine/layout.js';
import { TINY_STUDENT } from '../../support/tiny-models.js';

/** The numbers of all ranges, in order. */
const listed = (ranges: readonly Range[]): number[] => ranges.flatMap(([from, to]) => Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i));
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

describe('division of a model among threads', () => {
  const models = [
    { heads: 12, hiddenSize: 768 }, { heads: 4, hiddenSize: 128 }, { heads: 8, hiddenSize: 640 }, { heads: 3, hiddenSize: 240 }, { heads: 1, hiddenSize: 48 },
  ];
  for (const { heads, hiddenSize } of models) {
    const shape = engineShape({ ...TINY_STUDENT, heads, hiddenSize, feedForwardSize: 4 * hiddenSize, vocabSize: 1001 });
    for (const parts of [1, 2, 3, 7]) {
      it(`${heads} heads of ${hiddenSize / heads}, ${parts} threads: everything once, heads with their channels, whole words`, () => {
        const all = upTo(parts).map((part) => divide(shape, { part, parts }));
        expect(listed(all.map((one) => one.heads))).to.deep.equal(upTo(heads));
        expect(listed(all.map((one) => one.channels))).to.deep.equal(upTo(shape.paddedWidth));
        expect(listed(all.map((one) => one.hidden))).to.deep.equal(upTo(shape.paddedFeedForward));
        expect(listed(all.map((one) => one.vocabulary))).to.deep.equal(upTo(1001));
        expect(listed(all.flatMap((one) => one.qkv)).sort((a, b) => a - b)).to.deep.equal(upTo(3 * shape.paddedWidth));
        for (const { heads: own, channels, hidden, qkv } of all) {
          const ofHeads = listed([own]).flatMap((head) => upTo(shape.headWidth).map((c) => head * shape.headWidth + c));
          expect(listed([channels])).to.include.members(ofHeads);
          expect(listed(qkv).map((column) => column % shape.paddedWidth)).to.include.members(listed([channels]));
          for (const edge of [...channels, ...hidden, ...qkv.flat()]) expect(edge % 64).to.equal(0);
        }
      });
    }
  }
});
