import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { createRandom } from '../../../src/core/corpus/random.js';
import { embeddingLoss } from '../../../src/core/distill/embedding-loss.js';
import { featureLoss } from '../../../src/core/distill/feature-loss.js';
import { createProjections } from '../../../src/core/distill/projections.js';
import { describeOnBackends, expectClose } from '../../support/backends.js';
import { HALF_LEAK, lossInputs } from '../../support/loss-inputs.js';

const shapesOf = (student: number, teacher: number, form: 'normalised' | 'projected'): Record<string, number[]> =>
  Object.fromEntries(Array.from(createProjections({ student, teacher }, form, createRandom(1)).parameters, ([name, tensor]) => [name, tensor.shape]));

describeOnBackends('projections', () => {
  it('are there where the widths differ, and for the paper’s feature form', () => {
    expect(shapesOf(4, 4, 'normalised')).to.deep.equal({});
    expect(shapesOf(2, 3, 'normalised')).to.deep.equal({ 'projection.embedding.weight': [2, 3], 'projection.feature.in.weight': [2, 3] });
    expect(shapesOf(4, 4, 'projected')).to.deep.equal({ 'projection.feature.in.weight': [4, 4], 'projection.feature.out.weight': [4, 4] });
    expect(shapesOf(2, 3, 'projected')).to.deep.equal({ 'projection.embedding.weight': [2, 3], 'projection.feature.in.weight': [2, 3], 'projection.feature.out.weight': [3, 3] });
  });

  it('start as the seed says, with a spread of 1/√inputs', async () => {
    const values = async (seed: number): Promise<Float32Array> =>
      (createProjections({ student: 400, teacher: 30 }, 'normalised', createRandom(seed)).parameters.get('projection.embedding.weight') as tf.Tensor).data<'float32'>();
    const weight = await values(1);
    expect(Array.from(await values(1))).to.deep.equal(Array.from(weight));
    expect(Array.from(await values(2))).to.not.deep.equal(Array.from(weight));
    expectClose([Math.sqrt(weight.reduce((sum, x) => sum + x * x, 0) / weight.length)], [0.05], { absolute: 0.05 * 5 / Math.sqrt(2 * weight.length) });
  });

  it('are the identity where the widths agree', () => {
    const { embedding, feature, parameters } = createProjections({ student: 2, teacher: 2 }, 'normalised', createRandom(1));
    const x = tf.tensor3d([1, 2], [1, 1, 2]);
    expect(embedding(parameters)(x)).to.equal(x);
    expect(feature(parameters)(x)).to.equal(x);
  });

  it('the gradient reaches a linear projection, by hand: W = 0, x = [1, 2], target [3, 0, −3]', async () => {
    const { embedding } = createProjections({ student: 2, teacher: 3 }, 'normalised', createRandom(1));
    const student = { embedding: tf.tensor3d([1, 2], [1, 1, 2]) };
    const teacher = { embedding: tf.tensor3d([3, 0, -3], [1, 1, 3]) };
    const loss = (weight: tf.Tensor): tf.Scalar =>
      embeddingLoss(1, embedding(new Map([['projection.embedding.weight', weight]]))).compute(lossInputs({ student, teacher }));
    expectClose(await loss(tf.zeros([2, 3])).data(), [6], { absolute: 1e-6 });
    // dW = 2/3·xᵀ(xW − target)
    expectClose(await tf.grad(loss)(tf.zeros([2, 3])).data(), [-2, 0, 2, -4, 0, 4], { absolute: 1e-6 });
  });

  it('Linear → GELU → Linear, by hand: GELU(1) = .841345, GELU(−1) = −.158655', async () => {
    const { feature } = createProjections({ student: 2, teacher: 2 }, 'projected', createRandom(1));
    const parameters = new Map([['projection.feature.in.weight', tf.tensor2d([1, -1, 0, 0], [2, 2])], ['projection.feature.out.weight', tf.tensor2d([1, 0, 0, 2], [2, 2])]]);
    expectClose(await feature(parameters)(tf.tensor3d([1, 5], [1, 1, 2])).data(), [0.841345, -0.31731], { absolute: 1e-5 });
  });

  it('both matrices of the projected feature form and the student’s stream get a gradient', async () => {
    const { feature, parameters } = createProjections({ student: 2, teacher: 3 }, 'projected', createRandom(1));
    const names = ['projection.feature.in.weight', 'projection.feature.out.weight'] as const;
    const teacher = { hidden: [tf.tensor3d([0.3, 1, -2, 2, 0, 1], [1, 2, 3])] };
    const loss = (stream: tf.Tensor, first: tf.Tensor, second: tf.Tensor): tf.Scalar => featureLoss(1, {
      neuron: HALF_LEAK, gamma: 0.5, form: 'projected', layerMap: [0], project: feature(new Map([[names[0], first], [names[1], second]])), matrices: [first, second],
    }).compute(lossInputs({ student: { hidden: [stream as tf.Tensor3D] }, teacher }));
    const gradients = tf.grads(loss)([tf.tensor3d([1, -0.5, 0.2, 0.7], [1, 2, 2]), ...names.map((name) => parameters.get(name) as tf.Tensor)] as [tf.Tensor, tf.Tensor, tf.Tensor]);
    for (const gradient of gradients) expect((await tf.max(tf.abs(gradient)).data())[0]).to.be.above(1e-3);
  });
});
