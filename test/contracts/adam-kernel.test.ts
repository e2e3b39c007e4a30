import { expect } from 'chai';

import { describeOnOurKernels } from '../support/backends.js';
import { awaitKernel, numbers, relativeDifference } from '../support/kernel-cases.js';

const ATTRS = { learningRate: 0.01, beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weightDecay: 0.1, step: 3, gradScale: 0.5 };

describeOnOurKernels('kernels: AdamW step', () => {
  it('the first step moves by the learning rate against the sign of the gradient', async () => {
    const vector = (...values: number[]) => ({ values: Float32Array.from(values), shape: [values.length] });
    const [p] = await awaitKernel('BispikAdamStep', { p: vector(1, 1, 1), g: vector(4, -0.001, 0), m: vector(0, 0, 0), v: vector(0, 0, 0) },
      { ...ATTRS, weightDecay: 0, step: 1 });
    [0.99, 1.01, 1].forEach((value, i) => expect(p?.values[i]).to.be.closeTo(value, 1e-6));
  });

  for (const n of [1, 4, 7, 101]) {
    it(`matches the equations in float64 for ${n} parameters`, async () => {
      const random = numbers(n);
      const [p, g, m] = [random.floats(n), random.floats(n, 3), random.floats(n)];
      const v = random.floats(n).map(Math.abs);
      const inputs = Object.fromEntries(Object.entries({ p, g, m, v }).map(([name, values]) => [name, { values, shape: [n] }]));
      const [nextP, nextM, nextV] = await awaitKernel('BispikAdamStep', inputs, ATTRS);
      const M = [...m].map((value, i) => 0.9 * value + 0.1 * (g[i]! * 0.5));
      const V = [...v].map((value, i) => 0.98 * value + 0.02 * (g[i]! * 0.5) ** 2);
      const P = [...p].map((value, i) => value - 0.01 * 0.1 * value - (0.01 * (M[i]! / (1 - 0.9 ** 3))) / (Math.sqrt(V[i]! / (1 - 0.98 ** 3)) + 1e-8));
      expect(relativeDifference(nextM?.values ?? [], M)).to.be.below(1e-6);
      expect(relativeDifference(nextV?.values ?? [], V)).to.be.below(1e-6);
      expect(relativeDifference(nextP?.values ?? [], P)).to.be.below(1e-6);
    });
  }
});
