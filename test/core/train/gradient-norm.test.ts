import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { clipScale, readNorms } from '../../../src/core/train/gradient-norm.js';
import { describeOnBackends } from '../../support/backends.js';
import { numbers } from '../../support/kernel-cases.js';

describeOnBackends('train/gradient-norm', () => {
  it('adds the norms of all tensors: 3, 4 and 12 give 13', async () => {
    const gradients = new Map<string, tf.Tensor>([['a', tf.tensor2d([[3, 0], [0, 4]])], ['b', tf.tensor1d([-12])]]);
    const { norms, values } = await readNorms(gradients, [tf.scalar(2.5), tf.scalar(-1)]);
    expect(norms.total).to.be.closeTo(13, 1e-5);
    expect([...norms.byTensor]).to.deep.equal([['a', norms.byTensor.get('a')], ['b', 12]]);
    expect(norms.byTensor.get('a')).to.be.closeTo(5, 1e-6);
    expect(values).to.deep.equal([2.5, -1]);
  });

  it('does not overflow where float32 squares do (failure seen at 4.8e20)', async () => {
    for (const size of [4.8e20, 1e30, 3e38]) {
      const { norms } = await readNorms(new Map([['huge', tf.tensor1d([3 * size / 5, -4 * size / 5])], ['small', tf.tensor1d([1])]]), []);
      expect(norms.total / size, String(size)).to.be.closeTo(1, 1e-6);
      expect(clipScale(norms.total, 1) * size).to.be.closeTo(1, 1e-6);
    }
  });

  it('adds squares of any number of values in float64', async () => {
    for (const size of [1, 7, 8, 29, 1000]) {
      const values = numbers(size).floats(size, 3);
      const { norms } = await readNorms(new Map([['x', tf.tensor1d(values)]]), []);
      expect(norms.byTensor.get('x')).to.be.closeTo(Math.sqrt(values.reduce((sum, value) => sum + value * value, 0)), 1e-5);
    }
  });

  it('is not finite where a gradient is not', async () => {
    for (const bad of [NaN, Infinity, -Infinity]) {
      const { norms } = await readNorms(new Map([['good', tf.tensor1d([1, 2])], ['bad', tf.tensor1d([1, bad])]]), []);
      expect(Number.isFinite(norms.total), String(bad)).to.equal(false);
      expect(Number.isFinite(norms.byTensor.get('bad'))).to.equal(false);
      expect(Number.isFinite(norms.byTensor.get('good'))).to.equal(true);
    }
  });

  it('takes zeros, tiny values and huge ones beside them as they are', async () => {
    for (const values of [[3, -4], [0, 0, 0], [1e-20, 0], [1e30, -1e30, 2e30, 5]]) {
      const { norms } = await readNorms(new Map([['x', tf.tensor1d(values)]]), []);
      const expected = Math.hypot(...values);
      expect(Math.abs(norms.total - expected), String(values)).to.be.at.most(1e-6 * expected);
    }
  });

  it('of tensors in several runs, and of many tensors at once, not finite where one number is not', async () => {
    const random = numbers(4);
    const sizes = [1, 4095, 4097, 12_289, 64, 3, ...Array.from({ length: 30 }, (_, i) => i + 1)];
    const all = sizes.map((size, i) => random.floats(size, 10 ** (i % 5)));
    const gradients = new Map(all.map((values, i) => [String(i), tf.tensor1d(values)]));
    const { norms, values } = await readNorms(gradients, [tf.tensor1d([4, 5, 6])]);
    expect(values).to.deep.equal([4, 5, 6]);
    const squares = all.map((numbersOf) => numbersOf.reduce((sum, value) => sum + value * value, 0));
    squares.forEach((square, i) => { expect((norms.byTensor.get(String(i)) as number) / Math.sqrt(square), String(i)).to.be.closeTo(1, 1e-6); });
    expect(norms.total / Math.sqrt(squares.reduce((p, q) => p + q, 0))).to.be.closeTo(1, 1e-6);
    const last = (all[3] as Float32Array).slice();
    last[last.length - 1] = NaN;
    const broken = await readNorms(new Map([['0', tf.tensor1d(all[1] as Float32Array)], ['1', tf.tensor1d(last)]]), []);
    expect([...broken.norms.byTensor.values()].map(Number.isFinite)).to.deep.equal([true, false]);
  });

  it('frees what it makes', async () => {
    const gradients = new Map([['a', tf.tensor1d([1, 2])]]);
    const before = tf.memory().numTensors;
    await readNorms(gradients, []);
    expect(tf.memory().numTensors).to.equal(before);
  });
});

describe('train/gradient-norm', () => {
  it('clips only what is longer than the limit', () => {
    expect(clipScale(0.5, 1)).to.equal(1);
    expect(clipScale(8, 2)).to.equal(0.25);
  });
});
