import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { startWasm } from '../../../../src/core/backend/wasm.js';
import { numbers, relativeDifference } from '../../../support/kernel-cases.js';

describe('wasm kernels: sums', () => {
  before(startWasm);

  it('sums adjacent axes, worked by hand', () => {
    tf.tidy(() => {
      const x = tf.tensor3d([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], [2, 3, 2]);
      expect(tf.sum(x, 0).arraySync()).to.deep.equal([[8, 10], [12, 14], [16, 18]]);
      expect(tf.sum(x, 1).arraySync()).to.deep.equal([[9, 12], [27, 30]]);
      expect(tf.sum(x, [0, 1]).arraySync()).to.deep.equal([36, 42]);
      expect(tf.sum(x, -1, true).arraySync()).to.deep.equal([[[3], [7], [11]], [[15], [19], [23]]]);
      expect(tf.sum(x).arraySync()).to.equal(78);
      expect(tf.mean(x, 0).arraySync()).to.deep.equal([[4, 5], [6, 7], [8, 9]]);
      expect(tf.mean(x, [1, 2]).arraySync()).to.deep.equal([3.5, 9.5]);
      expect(tf.mean(x).arraySync()).to.equal(6.5);
      expect(tf.sum(x, [0, 2]).arraySync(), 'axes apart: the standard kernel').to.deep.equal([18, 26, 34]);
    });
  });

  for (const [rows, columns] of [[1, 1], [5, 3], [37, 16], [100, 21], [3, 67]] as const) {
    it(`is accurate over axis 0 and 1 of (${rows}, ${columns})`, () => {
      const values = numbers(rows).floats(rows * columns, 10);
      const [down, across] = [new Array<number>(columns).fill(0), new Array<number>(rows).fill(0)];
      values.forEach((v, i) => {
        down[i % columns] = (down[i % columns] ?? 0) + v;
        across[Math.floor(i / columns)] = (across[Math.floor(i / columns)] ?? 0) + v;
      });
      tf.tidy(() => {
        const x = tf.tensor2d(values, [rows, columns]);
        expect(relativeDifference(tf.sum(x, 0).dataSync(), down)).to.be.below(1e-7);
        expect(relativeDifference(tf.sum(x, 1).dataSync(), across)).to.be.below(1e-7);
      });
    });
  }

  it('sums integers with the standard kernel', () => {
    expect(tf.tidy(() => tf.sum(tf.tensor1d([1, 2, 3], 'int32')).arraySync())).to.equal(6);
  });

  it('adds rows by segment and drops ids outside the range', () => {
    tf.tidy(() => {
      const x = tf.tensor2d([[1, 2, 3], [10, 20, 30], [100, 200, 300], [7, 7, 7]]);
      const y = tf.unsortedSegmentSum(x, tf.tensor1d([2, 0, 2, -1], 'int32'), 3);
      expect(y.arraySync()).to.deep.equal([[10, 20, 30], [0, 0, 0], [101, 202, 303]]);
    });
  });
});
