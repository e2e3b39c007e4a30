import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { largestGap, profileWork } from '../../../../src/core/backend/profile/device-profile.js';
import { lif } from '../../../../src/core/ops/lif.js';
import { describeOnBackends, describeOnWebGpu } from '../../../support/backends.js';

const NEURON = { timeSteps: 2, decay: 0.9, threshold: 1, reset: 'soft', surrogate: 'atan', surrogateAlpha: 2, detachReset: true } as const;

describe('largest gap between kernels', () => {
  it('is measured from the latest end so far, since kernels may overlap', () => {
    const spans = [
      { name: 'a', beginNs: 0, endNs: 5e6 }, { name: 'b', beginNs: 1e6, endNs: 2e6 },
      { name: 'c', beginNs: 6e6, endNs: 7e6 }, { name: 'd', beginNs: 9.5e6, endNs: 10e6 },
    ];
    expect(largestGap([spans[3]!, spans[0]!, spans[2]!, spans[1]!])).to.deep.equal({ ms: 2.5, after: 'c', before: 'd' });
  });

  it('one kernel has none', () => {
    expect(largestGap([{ name: 'a', beginNs: 0, endNs: 5 }])).to.equal(null);
  });
});

describeOnBackends('profile of work', (backend) => {
  it('counts launches, bytes and operations, leaves results and kernels as they were', async () => {
    const [a, b] = [tf.fill<tf.Rank.R2>([4, 3], 2), tf.fill<tf.Rank.R2>([3, 5], 0.5)];
    const before = tf.getKernel('BatchMatMul', tf.getBackend());
    let values: ArrayLike<number> = [];
    const profile = await profileWork(async () => {
      const c = tf.tidy(() => tf.add(tf.reshape<tf.Rank.R2>(tf.matMul(a, b), [5, 4]), 1));
      values = await c.data();
      c.dispose();
    });
    expect(Array.from(values)).to.deep.equal(new Array(20).fill(4));
    expect(tf.getKernel('BatchMatMul', tf.getBackend())).to.equal(before);
    const found = new Map(profile.kernels.map((kernel) => [kernel.kernel, kernel]));
    expect(found.get('BatchMatMul')).to.include({ launches: 1, bytes: 4 * (12 + 15 + 20), operations: 2 * 4 * 5 * 3 });
    expect(found.get('Add')).to.include({ launches: 1, bytes: 4 * (20 + 1 + 20), operations: 20 });
    expect(found.has('Reshape')).to.equal(false);
    expect(profile.wallMs).to.be.above(0);
    if (backend !== 'webgpu') expect(profile.clock).to.equal('wall');
    if (profile.clock !== 'recording') expect(profile.utilisation).to.be.within(0, 1);
    tf.dispose([a, b]);
  });

  it('a composed operation counts as what it is composed of', async () => {
    const profile = await profileWork(async () => {
      const spikes = tf.tidy(() => lif({ x: tf.fill([1, 2, 3], 1.5), gain: tf.ones([3]), bias: tf.zeros([3]), onOff: false, groups: 1 }, NEURON).spikes);
      await spikes.data();
      spikes.dispose();
    });
    const whole = profile.kernels.find(({ kernel }) => kernel === 'BispikLif');
    const isComposed = profile.kernels.some(({ kernel }) => kernel === 'GreaterEqual');
    expect(whole?.bytes).to.equal(isComposed ? 0 : 4 * (6 + 3 + 3 + 12 + 1));
  });
});

describeOnWebGpu('profile of work on a GPU', () => {
  it('with timestamp queries every kernel that computed has a time on the device\'s own clock', async function () {
    const device = (tf.backend() as unknown as { device: { features: ReadonlySet<string> } }).device;
    if (!device.features.has('timestamp-query')) this.skip();
    const profile = await profileWork(async () => {
      const y = tf.tidy(() => tf.sum(tf.matMul(tf.ones([64, 64]), tf.ones([64, 64]))));
      expect((await y.data())[0]).to.equal(64 ** 3);
      y.dispose();
    });
    expect(profile.clock).to.equal('gpu');
    const product = profile.kernels.find(({ kernel }) => kernel === 'BatchMatMul');
    expect(product?.launches).to.equal(1);
    expect(product?.ms).to.be.above(0).and.below(profile.wallMs);
  });
});
