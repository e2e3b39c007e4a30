import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { scale } from '../../../src/core/ops/reduce.js';
import { reversePass } from '../../../src/core/ops/reverse-pass.js';
import { describeOnBackends } from '../../support/backends.js';
import { countTraffic } from '../../../bench/support/kernel-traffic.js';

const bits = async (tensor: tf.Tensor | null | undefined): Promise<number[] | null> =>
  tensor == null ? null : Array.from(new Uint32Array((await tensor.data<'float32'>()).slice().buffer));
const wave = (rows: number, columns: number, phase: number): tf.Tensor2D =>
  tf.tensor2d(Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(1.7 * i + phase)), [rows, columns]);

describeOnBackends('reverse pass', () => {
  it('gives the bits of TensorFlow.js: forks, broadcasts, repeated use, operations of several outputs, a value that is asked for twice, an unused input', async () => {
    const [a, b, c, unused] = [wave(3, 5, 0), wave(5, 4, 1), wave(1, 4, 2), wave(2, 2, 3)];
    const compute = (): tf.Scalar => {
      const product = tf.matMul(a, b);
      const shifted = tf.add(tf.tanh(tf.add(product, c)), scale(product, 0.3));
      const [left, right] = tf.split(shifted, 2, 1) as [tf.Tensor, tf.Tensor];
      tf.mul(shifted, 2); // recorded, but nothing depends on it
      const rows = tf.unstack(tf.mul(left, right)) as [tf.Tensor, ...tf.Tensor[]]; // the gradient of the other rows is made of zeros
      return tf.add(tf.sum(tf.mul(shifted, shifted)), tf.add(tf.sum(rows[0]), tf.sum(tf.clone(c)))) as tf.Scalar;
    };
    const xs = [a, b, unused, c];
    const expected = tf.engine().gradients(compute, xs, undefined, true);
    const before = tf.memory().numTensors;
    const actual = reversePass(compute, xs);
    expect(tf.memory().numTensors, 'the value and three gradients').to.equal(before + 4);
    expect(await bits(actual.value)).to.deep.equal(await bits(expected.value));
    for (const [i, gradient] of actual.gradients.entries()) expect(await bits(gradient), `input ${i}`).to.deep.equal(await bits(expected.grads[i]));
    expect(actual.gradients[2]).to.equal(undefined);
  });

  it('passes the same tensor on as the gradient of several inputs without one of them freeing it', async () => {
    const x = tf.tensor1d([2, -3]);
    const twice = tf.customGrad((p, q) => ({ value: tf.add(p as tf.Tensor, q as tf.Tensor), gradFunc: (dy: tf.Tensor) => [dy, dy] }));
    const { gradients } = reversePass(() => tf.sum(twice(tf.square(x), tf.mul(x, 3))) as tf.Scalar, [x]);
    expect(Array.from(await (gradients[0] as tf.Tensor).data())).to.deep.equal([7, -3]); // 2x + 3
  });

  it('frees on the way: a chain of 20 squares never holds more than its saved values and a few gradients', async () => {
    const x = tf.fill([1000], 1);
    const chain = (): tf.Scalar => {
      let y: tf.Tensor = x;
      for (let i = 0; i < 20; i++) y = tf.square(y);
      return tf.sum(y) as tf.Scalar;
    };
    const peak = (work: () => unknown): Promise<number> => countTraffic(async () => { tf.dispose(work() as tf.Tensor[]); }, [x]).then(({ peakBytes }) => peakBytes);
    const [ours, theirs] = [
      await peak(() => reversePass(chain, [x]).gradients as tf.Tensor[]), await peak(() => tf.engine().gradients(chain, [x]).grads),
    ];
    expect(ours).to.be.within(20 * 4000, 26 * 4000);
    expect(theirs).to.be.above(40 * 4000);
  });

  it('leaves nothing behind when the computation or a gradient fails', () => {
    const x = tf.scalar(1);
    const broken = tf.customGrad((p) => ({ value: tf.square(p as tf.Tensor), gradFunc: () => { throw new Error('no gradient today'); } }));
    const before = tf.memory().numTensors;
    expect(() => reversePass(() => { tf.square(x); throw new Error('no value today'); }, [x])).to.throw('no value today');
    expect(() => tf.tidy(() => { reversePass(() => broken(tf.square(x)) as tf.Scalar, [x]); })).to.throw('no gradient today');
    expect(tf.memory().numTensors).to.equal(before);
  });
});
