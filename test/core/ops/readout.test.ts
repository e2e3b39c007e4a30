import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import fc from 'fast-check';

import { chunkRows, readoutNll } from '../../../src/core/ops/readout.js';
import { describeOnBackends, expectClose } from '../../support/backends.js';
import { seededInput } from '../../support/finite-differences.js';

describe('chunks of rows', () => {
  it('cover all rows in order, fit the budget, and differ little in size', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 500 }), fc.integer({ min: 1, max: 90 }), fc.integer({ min: 1, max: 9000 }), (rows, vocabulary, chunkBytes) => {
      const chunks = chunkRows({ rows, vocabulary, chunkBytes });
      expect(chunks.flatMap(({ start, count }) => Array.from({ length: count }, (_, i) => start + i))).to.deep.equal(Array.from({ length: rows }, (_, i) => i));
      const largest = Math.max(...chunks.map(({ count }) => count));
      if (largest > 1) expect(4 * largest * vocabulary).to.be.at.most(chunkBytes);
      chunks.slice(0, -1).forEach(({ count }) => expect(count).to.equal(largest));
      expect(chunks.length).to.equal(Math.ceil(rows / Math.max(1, Math.floor(chunkBytes / (4 * vocabulary)))));
    }), { seed: 20261124 });
  });

  it('by hand: 10 rows, room for 4, are 4 + 4 + 2; room for all is one', () => {
    expect(chunkRows({ rows: 10, vocabulary: 5, chunkBytes: 99 })).to.deep.equal([{ start: 0, count: 4 }, { start: 4, count: 4 }, { start: 8, count: 2 }]);
    expect(chunkRows({ rows: 10, vocabulary: 5, chunkBytes: 200 })).to.deep.equal([{ start: 0, count: 10 }]);
  });
});

describeOnBackends('loss of a readout', () => {
  it('is the cross-entropy of states·headᵀ row by row, in one chunk or in many', async () => {
    const [rows, vocabulary, width] = [5, 7, 2];
    const [states, head] = [seededInput([rows, width], 1).values, seededInput([vocabulary, width], 2).values];
    const labels = [0, 6, -1, 3, 2];
    const expected = labels.map((label, r) => {
      const logits = Array.from({ length: vocabulary }, (_, v) => states[2 * r]! * head[2 * v]! + states[2 * r + 1]! * head[2 * v + 1]!);
      return label < 0 ? 0 : Math.log(logits.reduce((sum, x) => sum + Math.exp(x), 0)) - logits[label]!;
    });
    for (const chunkBytes of [1, 2 * 4 * vocabulary, 1e6]) {
      const losses = tf.tidy(() => readoutNll(
        { states: tf.tensor2d([...states], [rows, width]), head: tf.tensor2d([...head], [vocabulary, width]) }, tf.tensor1d(labels, 'int32'), chunkBytes));
      expectClose(await losses.data(), expected, { absolute: 2e-6 });
    }
  });
});
