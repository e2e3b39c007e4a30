import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { describeOnOurKernels } from '../support/backends.js';
import { numbers, relativeDifference } from '../support/kernel-cases.js';

describeOnOurKernels('kernels: sums', (backend) => {
  /** wasm adds in float64, WebGPU in float32 by parts. */
  const tolerance = backend === 'wasm' ? 1e-7 : 1e-6;
  const read = async (compute: () => tf.Tensor): Promise<unknown> => {
    const y = tf.tidy(compute);
    const values = await y.array();
    y.dispose();
    return values;
  };

  it('sums adjacent axes, worked by hand', async () => {
    const x = tf.tensor3d([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], [2, 3, 2]);
    expect(await read(() => tf.sum(x, 0))).to.deep.equal([[8, 10], [12, 14], [16, 18]]);
    expect(await read(() => tf.sum(x, 1))).to.deep.equal([[9, 12], [27, 30]]);
    expect(await read(() => tf.sum(x, [0, 1]))).to.deep.equal([36, 42]);
    expect(await read(() => tf.sum(x, -1, true))).to.deep.equal([[[3], [7], [11]], [[15], [19], [23]]]);
    expect(await read(() => tf.sum(x))).to.equal(78);
    expect(await read(() => tf.mean(x, 0))).to.deep.equal([[4, 5], [6, 7], [8, 9]]);
    expect(await read(() => tf.mean(x, [1, 2]))).to.deep.equal([3.5, 9.5]);
    expect(await read(() => tf.mean(x))).to.equal(6.5);
    expect(await read(() => tf.sum(x, [0, 2])), 'axes apart').to.deep.equal([18, 26, 34]);
    expect(await read(() => tf.mean(x, [0, 2], true)), 'axes apart').to.deep.equal([[[4.5], [6.5], [8.5]]]);
    x.dispose();
  });

  // The longest are summed in stages on WebGPU.
  for (const [rows, columns] of [[1, 1], [5, 3], [37, 16], [100, 21], [3, 67], [1100, 2], [2, 8200]] as const) {
    it(`is accurate over axis 0 and 1 and both of (${rows}, ${columns})`, async () => {
      const values = numbers(rows).floats(rows * columns, 10);
      const [down, across, all] = [new Array<number>(columns).fill(0), new Array<number>(rows).fill(0), [0]];
      values.forEach((v, i) => {
        down[i % columns] = (down[i % columns] ?? 0) + v;
        across[Math.floor(i / columns)] = (across[Math.floor(i / columns)] ?? 0) + v;
        all[0] = (all[0] ?? 0) + v;
      });
      const x = tf.tensor2d(values, [rows, columns]);
      const scale = 10 * Math.sqrt(rows * columns); // of a sum of so many numbers that cancel
      expect(relativeDifference((await read(() => tf.sum(x, 0))) as number[], down)).to.be.below(tolerance);
      expect(relativeDifference((await read(() => tf.sum(x, 1))) as number[], across)).to.be.below(tolerance);
      expect((await read(() => tf.sum(x))) as number).to.be.closeTo(all[0] ?? 0, tolerance * scale);
      x.dispose();
    });
  }

  it('sums integers with the standard kernel, and floats that were cast from truth values', async () => {
    expect(await read(() => tf.sum(tf.tensor1d([1, 2, 3], 'int32')))).to.equal(6);
    expect(await read(() => tf.sum(tf.cast(tf.greater(tf.tensor1d([1, 2, 3]), 1.5), 'float32')))).to.equal(2);
  });

  it('adds rows by segment and drops ids outside the range', async () => {
    const y = await read(() => {
      const x = tf.tensor2d([[1, 2, 3], [10, 20, 30], [100, 200, 300], [7, 7, 7]]);
      return tf.unsortedSegmentSum(x, tf.tensor1d([2, 0, 2, -1], 'int32'), 3);
    });
    expect(y).to.deep.equal([[10, 20, 30], [0, 0, 0], [101, 202, 303]]);
  });
});
