import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { ShapeError } from '../../../src/core/errors.js';
import { batchTensors, meanNll } from '../../../src/core/ops/batch-tensors.js';
import { logitRows, tokenTensor } from '../../../src/core/ops/token-tensors.js';
import { prepareBackend } from '../../../src/core/pipeline/prepare-backend.js';
import { expectClose } from '../../support/backends.js';
import { rejection } from '../../support/rejection.js';

const SHAPE = { vocabSize: 10, hiddenSize: 2, layers: 1, heads: 1, feedForwardSize: 8, contextLength: 4 };

describe('tokens as tensors', () => {
  before(async () => { await prepareBackend('cpu'); });

  it('windows of L + 1 become L inputs and L next tokens', async () => {
    const { ids, labels, labelled } = batchTensors(Int32Array.of(1, 2, 3, 4, 5, 6), 2);
    expect([ids.shape, ids.dtype, labels.dtype]).to.deep.equal([[2, 2], 'int32', 'int32']);
    expect(Array.from(await ids.data())).to.deep.equal([1, 2, 4, 5]);
    expect(Array.from(await labels.data())).to.deep.equal([2, 3, 5, 6]);
    expect(labelled).to.equal(4);
  });

  it('a next token of −1 is no label', async () => {
    const { labels, labelled } = batchTensors(Int32Array.of(1, 2, -1, 0, -1, 0), 2);
    expect(Array.from(await labels.data())).to.deep.equal([2, -1, -1, 0]);
    expect(labelled).to.equal(2);
  });

  it('a batch must be whole windows', () => {
    expect(() => batchTensors(new Int32Array(7), 2)).to.throw(ShapeError, 'a batch of 7 tokens is no whole number of windows of 3').with.property('exitCode', 5);
    expect(() => batchTensors(new Int32Array(0), 2)).to.throw(ShapeError, 'a batch of 0 tokens');
  });

  it('the mean over windows weighs targets, not batches: 17 windows in groups of 8', async () => {
    const windows = Array.from({ length: 17 }, (_, i) => Int32Array.of(0, i, i + 1));
    const before = tf.memory().numTensors;
    const seen: number[] = [];
    // The "loss" of a target is its id: Σ i + (i + 1) = 2·136 + 17 over 34 targets.
    const mean = await meanNll(windows, ({ ids, labels }) => {
      seen.push(ids.shape[0]);
      return tf.cast(labels, 'float32');
    });
    expectClose([mean], [289 / 34], { absolute: 1e-6 });
    expect(seen).to.deep.equal([8, 8, 1]);
    expect(tf.memory().numTensors).to.equal(before);
  });

  it('the mean of nothing, and of windows of two lengths, is refused', async () => {
    const loss = ({ labels }: { labels: tf.Tensor1D }): tf.Tensor1D => tf.cast(labels, 'float32');
    expect((await rejection(meanNll([], loss), ShapeError)).message).to.equal('there are no windows to measure a loss on');
    expect((await rejection(meanNll([new Int32Array(3), new Int32Array(2)], loss), ShapeError)).message).to.equal('window 1 has 2 tokens, window 0 has 3');
  });

  it('sequences of ids become one tensor, and logits one array each', async () => {
    const ids = tokenTensor([[1, 2, 9], Int32Array.of(0, 4, 5)], SHAPE, 1);
    expect([ids.shape, Array.from(await ids.data())]).to.deep.equal([[2, 3], [1, 2, 9, 0, 4, 5]]);
    expect((await logitRows(tf.tensor3d([1, 2, 3, 4, 5, 6, 7, 8], [2, 2, 2]))).map((row) => Array.from(row))).to.deep.equal([[1, 2, 3, 4], [5, 6, 7, 8]]);
  });

  const refused: readonly (readonly [title: string, sequences: number[][], offset: number, message: string])[] = [
    ['no sequence', [], 0, 'there are no tokens to run the model on'],
    ['an empty sequence', [[]], 0, 'there are no tokens to run the model on'],
    ['more than the context', [[1, 2, 3, 4, 5]], 0, "5 tokens are more than the model's context of 4"],
    ['more than what the past leaves of the context', [[1, 2]], 3, "5 tokens are more than the model's context of 4"],
    ['unequal lengths', [[1, 2], [1]], 0, 'sequence 1 has 1 tokens, sequence 0 has 2: one batch needs equal lengths'],
    ['an id outside the vocabulary', [[1, 10]], 0, "token id 10 at position 1 is outside the model's vocabulary of 10"],
    ['a negative id', [[-1]], 0, 'token id -1 at position 0'],
    ['a fraction', [[1.5]], 0, 'token id 1.5 at position 0'],
  ];
  for (const [title, sequences, offset, message] of refused) {
    it(`refuses ${title}`, () => { expect(() => tokenTensor(sequences, SHAPE, offset)).to.throw(ShapeError, message).with.property('exitCode', 5); });
  }
});
