import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { rateHinge } from '../../../src/core/distill/rate-hinge.js';
import type { JointTerms, LossTerm } from '../../../src/core/distill/total-loss.js';
import { onlyTerm, totalLoss } from '../../../src/core/distill/total-loss.js';
import type { JoinedRates } from '../../../src/core/student/observe.js';
import type { SpikeSite } from '../../../src/core/types.js';
import { describeOnBackends, expectClose } from '../../support/backends.js';
import { lossInputs } from '../../support/loss-inputs.js';

const constant = (name: string, weight: number, value: number): LossTerm => ({ name, weight, compute: () => tf.scalar(value) });
const ratesOf = (...given: readonly (readonly [site: SpikeSite, value: number, layer?: number])[]): JoinedRates =>
  ({ sites: given.map(([site, , layer = 0]) => ({ layer, site })), groups: given.map(([, value]) => tf.tensor1d([value])), values: tf.tensor1d(given.map(([, value]) => value)) });

describeOnBackends('total loss', () => {
  it('is the sum of the weighted terms, which are logged weighted: .5·4 + .25·8', async () => {
    const { total, terms } = totalLoss([constant('a', 0.5, 4), constant('b', 0.25, 8)], lossInputs({}));
    expectClose(await total.data(), [4], { absolute: 0 });
    expect(Object.keys(terms)).to.deep.equal(['a', 'b']);
    expectClose(await (terms['b'] as tf.Scalar).data(), [2], { absolute: 0 });
  });

  it('takes a term nobody has heard of: it is logged, counted and differentiated like the others', async () => {
    const embedding = tf.tensor3d([1, -2], [1, 1, 2]);
    const confidence: LossTerm = { name: 'confidence', weight: 3, compute: ({ student }) => tf.sum(tf.square(student.embedding)) };
    const [value, gradient] = tf.tidy(() => {
      const { value: loss, grad } = tf.valueAndGrad((x) => totalLoss([constant('a', 1, 7), confidence], lossInputs({ student: { embedding: x as tf.Tensor3D } })).total)(embedding);
      return [loss, grad];
    }) as [tf.Tensor, tf.Tensor];
    expectClose(await value.data(), [7 + 3 * 5], { absolute: 1e-6 });
    expectClose(await gradient.data(), [6, -12], { absolute: 1e-6 });
  });

  it('does not compute terms of weight 0, and is 0 without any', async () => {
    const never: LossTerm = { name: 'never', weight: 0, compute: () => { throw new Error('computed'); } };
    const { total, terms } = totalLoss([never], lossInputs({}));
    expectClose(await total.data(), [0], { absolute: 0 });
    expect(terms).to.deep.equal({});
  });

  it('lets terms be computed together, each with its name, and singles one out', async () => {
    const joint: JointTerms = {
      parts: [{ name: 'b', weight: 2 }, { name: 'c', weight: 3 }],
      compute: (_, { b = 0, c = 0 }) => ({ total: tf.scalar(10 * b + 100 * c), terms: { b: tf.scalar(10 * b), c: tf.scalar(100 * c) } }),
    };
    const list = [constant('a', 1, 7), joint];
    const values = async ({ total, terms }: ReturnType<typeof totalLoss>): Promise<Record<string, number>> =>
      Object.fromEntries(await Promise.all(Object.entries({ ...terms, total }).map(async ([name, scalar]) => [name, (await scalar.data())[0] as number] as const)));
    expect(await values(totalLoss(list, lossInputs({})))).to.deep.equal({ a: 7, b: 20, c: 300, total: 327 });
    expect(await values(totalLoss(onlyTerm(list, 'c'), lossInputs({})))).to.deep.equal({ c: 300, total: 300 });
    expect(await values(totalLoss(onlyTerm(list, 'a'), lossInputs({})))).to.deep.equal({ a: 7, total: 7 });
    expect(() => totalLoss([joint, constant('c', 1, 1)], lossInputs({}))).to.throw('two loss terms are called c');
  });

  it('refuses two terms of one name, of which one would be lost', () => {
    expect(() => totalLoss([constant('a', 1, 1), constant('a', 1, 2)], lossInputs({}))).to.throw('two loss terms are called a');
  });
});

describeOnBackends('rate hinge', () => {
  it('weighs what is above the target by the site’s work, by hand: (3·.2 + 1·.1)/(16·2)', async () => {
    const rates = ratesOf(['attention_entry', 0.3], ['hidden', 0.05], ['attention', 0.2, 1], ['attention_write', 0.9, 1]);
    const value = tf.tidy(() => rateHinge(2, 0.1, 2).compute(lossInputs({ rates })));
    expectClose(await value.data(), [0.7 / 32], { absolute: 1e-7 });
  });

  it('pushes only rates above the target: gradients 4/16 and 0', async () => {
    const gradient = (at: number): tf.Tensor => tf.grad((x) => rateHinge(1, 0.1, 1).compute(lossInputs({ rates: { sites: [{ layer: 0, site: 'hidden' }], groups: [x as tf.Tensor1D], values: x as tf.Tensor1D } })))(tf.tensor1d([at]));
    expectClose(await gradient(0.2).data(), [0.25], { absolute: 1e-7 });
    expectClose(await gradient(0.05).data(), [0], { absolute: 0 });
  });

  it('gives every group its own part of the gradient, whatever the groups’ sizes', async () => {
    const sites = (['attention_entry', 'query', 'key', 'value', 'hidden'] as const).map((site) => ({ layer: 0, site }));
    const groups = [tf.tensor1d([0.3]), tf.tensor1d([0.05, 0.2, 0.4]), tf.tensor1d([0.15])];
    const gradients = tf.grads((...xs) => rateHinge(1, 0.1, 2).compute(lossInputs({ rates: { sites, groups: xs as tf.Tensor1D[], values: tf.concat1d(groups) } })))(groups);
    const found = await Promise.all(gradients.map(async (gradient) => [...await gradient.data()]));
    // Shares 3, 1, 1, 1 and 4 of 16, over two layers; the query fires below the target.
    expect(found).to.deep.equal([[3 / 32], [0, 1 / 32, 1 / 32], [4 / 32]]);
  });

  it('is 0 without rates', async () => expectClose(await rateHinge(1, 0.1, 1).compute(lossInputs({})).data(), [0], { absolute: 0 }));
});
