import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { clipScale, normFromParts, normOf, readNorms, scaledSquares } from '../../../src/core/train/gradient-norm.js';
import { describeOnBackends } from '../../support/backends.js';
import { numbers } from '../../support/kernel-cases.js';

const onDevice = async (values: number[]): Promise<number> => {
  const [scale, squares] = scaledSquares(tf.tensor1d(values));
  return normFromParts((await scale.data())[0] as number, (await squares.data())[0] as number);
};

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

  it('computes the same on the device, zeros and tiny values included', async () => {
    for (const values of [[3, -4], [0, 0, 0], [1e-20, 0], [1e30, -1e30, 2e30, 5]]) {
      const expected = normOf(Float32Array.from(values));
      expect(Math.abs(await onDevice(values) - expected), String(values)).to.be.at.most(1e-6 * expected);
    }
    expect(Number.isFinite(await onDevice([1, NaN]))).to.equal(false);
    expect(Number.isFinite(await onDevice([1, -Infinity]))).to.equal(false);
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
