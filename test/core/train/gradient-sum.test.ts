import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { addGradients } from '../../../src/core/train/gradient-sum.js';
import { describeOnBackends, expectClose } from '../../support/backends.js';
import { numbers } from '../../support/kernel-cases.js';

describeOnBackends('train/gradient-sum', () => {
  it('adds tensors of any size, takes over what is new and disposes the rest', async () => {
    const random = numbers(5);
    const sizes = [1, 3, 4, 7, 101];
    const draw = (): number[][] => sizes.map((size) => [...random.floats(size, 3)]);
    const [first, second] = [draw(), draw()];
    const tensors = (values: number[][]): Map<string, tf.Tensor> => new Map(values.map((of, i) => [`x${i}`, tf.tensor1d(of)]));
    const start = tf.memory().numTensors;
    const total = tensors(first);
    addGradients(total, new Map<string, tf.Tensor>([...tensors(second), ['new', tf.tensor2d([[1], [2]])]]));
    expect(tf.memory().numTensors - start).to.equal(sizes.length + 1);
    expect([...total.keys()]).to.deep.equal([...sizes.map((_, i) => `x${i}`), 'new']);
    for (const [i, values] of first.entries()) expectClose(await (total.get(`x${i}`) as tf.Tensor).data(), values.map((value, at) => Math.fround(value + second[i]![at]!)), { absolute: 0 });
    expect([...await (total.get('new') as tf.Tensor).data()]).to.deep.equal([1, 2]);
    tf.dispose([...total.values()]);
  });

  it('keeps values that others own: gradients of two parameters may be the same', async () => {
    const both = tf.tensor1d([1, 2, 3]);
    const total = new Map<string, tf.Tensor>([['a', tf.clone(both)], ['b', tf.reshape(both, [3, 1])]]);
    addGradients(total, new Map<string, tf.Tensor>([['a', tf.tensor1d([10, 20, 30])], ['b', tf.tensor2d([100, 200, 300], [3, 1])]]));
    expect([...await both.data()]).to.deep.equal([1, 2, 3]);
    expect([...await (total.get('a') as tf.Tensor).data()]).to.deep.equal([11, 22, 33]);
    expect([...await (total.get('b') as tf.Tensor).data()]).to.deep.equal([101, 202, 303]);
    expect(total.get('b')?.shape).to.deep.equal([3, 1]);
    tf.dispose([both, ...total.values()]);
  });
});
