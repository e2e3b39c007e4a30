import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { ShapeError } from '../../src/core/errors.js';
import { runKernel } from '../../src/core/ops/kernels.js';
import { describeOn, describeOnOurKernels } from '../support/backends.js';
import { awaitKernel, numbers, relativeDifference } from '../support/kernel-cases.js';

const ATTRS = { learningRate: 0.01, beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weightDecay: 0.1, step: 3, gradScale: 0.5 };

type Pgmv = Readonly<Record<'p' | 'g' | 'm' | 'v', Float32Array>>;
interface Case { readonly values: Pgmv; readonly lowerBound: number }

/** New values of p, m and v of every case: from a call each, or from one call that writes over all of them. */
async function update(cases: readonly Case[], attrs: tf.NamedAttrMap, backend: string): Promise<Float32Array[][]> {
  if (backend !== 'wasm') {
    const named = cases.map(({ values }) => Object.fromEntries(Object.entries(values).map(([name, of]) => [name, { values: of, shape: [of.length] }])));
    return Promise.all(named.map(async (inputs, i) => (await awaitKernel('BispikAdamStep', inputs, { ...attrs, lowerBound: cases[i]!.lowerBound })).map(({ values }) => values)));
  }
  const tensors = cases.flatMap(({ values: { p, g, m, v } }) => [p, g, m, v].map((values) => tf.tensor1d(values)));
  const outputs = runKernel('BispikAdamInPlace', tensors, { ...attrs, lowerBounds: cases.map(({ lowerBound }) => lowerBound) });
  expect(outputs).to.deep.equal([]);
  const found = tensors.map((tensor) => tensor.dataSync<'float32'>());
  tf.dispose(tensors);
  return cases.map(({ values }, i) => {
    const [p, g, m, v] = found.slice(4 * i, 4 * i + 4) as [Float32Array, Float32Array, Float32Array, Float32Array];
    expect(g, 'the gradient').to.deep.equal(values.g);
    return [p, m, v];
  });
}

describeOnOurKernels('kernels: AdamW step', (backend) => {
  it('the first step moves by the learning rate against the sign of the gradient', async () => {
    const values = { p: Float32Array.of(1, 1, 1), g: Float32Array.of(4, -0.001, 0), m: new Float32Array(3), v: new Float32Array(3) };
    const [[p] = []] = await update([{ values, lowerBound: -Infinity }], { ...ATTRS, weightDecay: 0, step: 1 }, backend);
    [0.99, 1.01, 1].forEach((value, i) => expect(p?.[i]).to.be.closeTo(value, 1e-6));
  });

  it('matches the equations in float64 for parameters of 1, 4, 7, 101 and 64 values, with and without a bound', async () => {
    const cases = [1, 4, 7, 101, 64].map((n): Case => {
      const random = numbers(n);
      const [p, g, m] = [random.floats(n), random.floats(n, 3), random.floats(n)];
      return { values: { p, g, m, v: random.floats(n).map(Math.abs) }, lowerBound: n % 2 === 1 ? 0.02 : -Infinity };
    });
    (await update(cases, ATTRS, backend)).forEach(([nextP, nextM, nextV], k) => {
      const { values: { p, g, m, v }, lowerBound } = cases[k]!;
      const M = [...m].map((value, i) => 0.9 * value + 0.1 * (g[i]! * 0.5));
      const V = [...v].map((value, i) => 0.98 * value + 0.02 * (g[i]! * 0.5) ** 2);
      const P = [...p].map((value, i) => Math.max(lowerBound, value - 0.01 * 0.1 * value - (0.01 * (M[i]! / (1 - 0.9 ** 3))) / (Math.sqrt(V[i]! / (1 - 0.98 ** 3)) + 1e-8)));
      expect(relativeDifference(nextM ?? [], M), `m of ${p.length}`).to.be.below(1e-6);
      expect(relativeDifference(nextV ?? [], V), `v of ${p.length}`).to.be.below(1e-6);
      expect(relativeDifference(nextP ?? [], P), `p of ${p.length}`).to.be.below(1e-6);
    });
  });
});

describeOn(['wasm'], 'kernels: AdamW step in place', () => {
  it('rounds after every operation of the equations: the same bits as float32 arithmetic in this order', async () => {
    const n = 39;
    const random = numbers(3);
    const values: Pgmv = { p: random.floats(n), g: random.floats(n, 3), m: random.floats(n), v: random.floats(n).map(Math.abs) };
    const [[p, m, v] = []] = await update([{ values, lowerBound: -0.5 }], ATTRS, 'wasm');
    const f = Math.fround;
    const [learn, root] = [f(0.01 / (1 - 0.9 ** 3)), f(1 / Math.sqrt(1 - 0.98 ** 3))];
    for (let i = 0; i < n; i++) {
      const g = f(values.g[i]! * 0.5);
      const M = f(f(values.m[i]! * f(0.9)) + f(g * f(1 - 0.9)));
      const V = f(f(values.v[i]! * f(0.98)) + f(f(g * g) * f(1 - 0.98)));
      const moved = f(f(M * learn) / f(f(f(Math.sqrt(V)) * root) + f(1e-8)));
      expect([p![i], m![i], v![i]]).to.deep.equal([Math.max(-0.5, f(f(values.p[i]! * f(1 - f(0.01 * 0.1))) - moved)), M, V]);
    }
  });

  it('writes nothing beside a parameter, and keeps a NaN where there is a bound', async () => {
    const all = tf.tensor1d([1, 1, Number.NaN, 1, 7]);
    const heap = (tf.backend() as unknown as { typedArrayFromHeap(tensor: tf.TensorInfo): Float32Array }).typedArrayFromHeap(all);
    const [g, m, v] = [tf.ones([4]), tf.zeros([4]), tf.zeros([4])];
    const four = { dataId: all.dataId, shape: [4], dtype: 'float32' as const } as tf.Tensor;
    runKernel('BispikAdamInPlace', [four, g, m, v], { ...ATTRS, weightDecay: 0, step: 1, lowerBounds: [0] });
    expect(heap[0]).to.be.closeTo(0.99, 1e-6);
    expect(heap[2]).to.be.NaN;
    expect(heap[4]).to.equal(7);
    tf.dispose([all, g, m, v]);
  });

  it('refuses tensors of different shapes by name', () => {
    const tensors = [[3], [3], [2], [3]].map((shape) => tf.ones(shape));
    const attempt = (): unknown => runKernel('BispikAdamInPlace', tensors, { ...ATTRS, lowerBounds: [0] });
    expect(attempt).to.throw(ShapeError, /m0 is float32 \[2\]/);
    tf.dispose(tensors);
  });
});
