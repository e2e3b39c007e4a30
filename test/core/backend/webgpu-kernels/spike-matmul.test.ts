import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import type { SpikeTensor } from '../../../../src/core/ops/lif.js';
import { spikeLinear } from '../../../../src/core/ops/spike-linear.js';
import { describeOnWebGpu } from '../../../support/backends.js';
import type { KernelOutput } from '../../../support/kernel-cases.js';
import { awaitKernel, numbers, relativeDifference } from '../../../support/kernel-cases.js';
import { packed } from '../../../support/packed-spikes.js';

/** Largest difference from plain sums in float64, of y, dW and db. */
async function compare([m, k, n]: readonly [number, number, number], rate: number): Promise<number[]> {
  const random = numbers(m + k + n);
  const [s, w, b, dy] = [random.spikes(m * k, rate), random.floats(k * n), random.floats(n), random.floats(m * n)];
  const [y, dw, db] = [Float64Array.from({ length: m * n }, (_, i) => b[i % n]!), new Float64Array(k * n), new Float64Array(n)];
  for (let row = 0; row < m; row++) {
    for (let c = 0; c < n; c++) {
      db[c]! += dy[row * n + c]!;
      for (let i = 0; i < k; i++) {
        if (s[row * k + i] !== 1) continue;
        y[row * n + c]! += w[i * n + c]!;
        dw[i * n + c]! += dy[row * n + c]!;
      }
    }
  }
  const bits = packed(s, [m, k]);
  const outputs: KernelOutput[] = [
    ...await awaitKernel('BispikSpikeMatMul', { s: bits, w: { values: w, shape: [k, n] }, b: { values: b, shape: [n] } }, { inputs: k }),
    ...await awaitKernel('BispikSpikeMatMulGradW', { s: bits, dy: { values: dy, shape: [m, n] } }, { inputs: k }),
  ];
  expect(outputs.map(({ shape }) => shape)).to.deep.equal([[m, n], [k, n], [n]]);
  return [y, dw, db].map((expected, i) => relativeDifference(outputs[i]!.values, expected));
}

describeOnWebGpu('WebGPU kernels: products with spikes', () => {
  for (const shape of [[1, 1], [3, 31], [2, 64], [5, 33], [70, 96]] as const) {
    it(`packs (${shape.join(', ')}) spikes into bits`, async () => {
      const s = numbers(shape[1]).spikes(shape[0] * shape[1], 0.4);
      const [bits] = await awaitKernel('BispikPackSpikes', { s: { values: s, shape } });
      const expected = packed(s, shape);
      expect(bits?.shape).to.deep.equal(expected.shape);
      expect([...(bits?.values ?? [])]).to.deep.equal([...expected.values]);
    });
  }

  // Small and large tiles, whole and not; the last two sum in parts.
  for (const size of [[1, 1, 1], [3, 5, 7], [33, 40, 35], [70, 66, 69], [130, 128, 65], [1100, 3, 5], [1030, 70, 65]] as const) {
    it(`(${size[0]}, ${size[1]})·(${size[1]}, ${size[2]}), its weight gradient and its bias gradient match float64`, async () => {
      for (const difference of await compare(size, 0.3)) expect(difference).to.be.below(2e-6);
    });
  }

  it('no spikes leave the bias, and nothing else; all spikes sum every row', async () => {
    for (const rate of [0, 1]) for (const difference of await compare([4, 35, 6], rate)) expect(difference).to.be.below(1e-6);
  });

  it('the same bits every time', async () => {
    const random = numbers(9);
    const inputs = { s: packed(random.spikes(1100 * 20, 0.3), [1100, 20]), dy: { values: random.floats(1100 * 6), shape: [1100, 6] } };
    const run = async (): Promise<number[][]> => (await awaitKernel('BispikSpikeMatMulGradW', inputs, { inputs: 20 })).map(({ values }) => [...values]);
    expect(await run()).to.deep.equal(await run());
  });

  it('refuses spikes that are not packed, and weights of another width', async () => {
    const w = { values: new Float32Array(6), shape: [3, 2] };
    const b = { values: new Float32Array(2), shape: [2] };
    const call = (s: { values: Float32Array | Int32Array; shape: number[] }, inputs: number): Promise<unknown> => awaitKernel('BispikSpikeMatMul', { s, w, b }, { inputs }).catch((error: unknown) => error);
    expect(await call({ values: new Float32Array(3), shape: [1, 3] }, 3)).to.include({ name: 'ShapeError', message: 's is float32 [1, 3]; packed spikes of 3 inputs, int32 [1, 1], were expected' });
    expect(await call({ values: new Int32Array(1), shape: [1, 1] }, 4)).to.have.property('message').that.includes('float32 [4, 2] was expected');
  });

  it('spikeLinear keeps 32 spikes in a word for its backward pass', async () => {
    const [rows, inputs] = [64, 96];
    const s = tf.tensor3d(numbers(2).spikes(rows * inputs, 0.3), [1, rows, inputs]) as SpikeTensor<tf.Rank.R3>;
    const [w, b] = [tf.ones<tf.Rank.R2>([inputs, 1]), tf.zeros<tf.Rank.R1>([1])];
    const saved: tf.Tensor[] = [];
    const original = tf.engine().runKernel.bind(tf.engine());
    const engine = tf.engine() as { runKernel: typeof original };
    engine.runKernel = ((name: string, given: tf.NamedTensorMap, attrs: tf.NamedAttrMap) => {
      if (name === 'BispikSpikeMatMulGradW') saved.push(given['s'] as tf.Tensor);
      return original(name, given, attrs);
    }) as typeof original;
    try {
      const gradient = tf.grad((x) => tf.sum(spikeLinear(s, x as tf.Tensor2D, b)))(w);
      const counts = tf.tidy(() => tf.sum(s, [0, 1]));
      expect(await gradient.data()).to.deep.equal(await counts.data());
      tf.dispose([gradient, counts]);
    } finally {
      engine.runKernel = original;
    }
    expect(saved.map(({ dtype, shape }) => ({ dtype, shape }))).to.deep.equal([{ dtype: 'int32', shape: [rows, inputs / 32] }]);
    tf.dispose([s, w, b]);
  });
});
