import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { matrixProductOf } from '../../../../src/core/backend/matrix-product.js';
import { guardBindings } from '../../../../src/core/backend/webgpu-kernels/binding-limit.js';
import type { GpuDispatcher } from '../../../../src/core/backend/webgpu-kernels/dispatch.js';
import { createDispatcher } from '../../../../src/core/backend/webgpu-kernels/dispatch.js';
import type { GpuBackend } from '../../../../src/core/backend/webgpu-kernels/gpu.js';
import type { TilePlan } from '../../../../src/core/backend/webgpu-kernels/matmul-plan.js';
import { planTiles } from '../../../../src/core/backend/webgpu-kernels/matmul-plan.js';
import { multiplyMatrices } from '../../../../src/core/backend/webgpu-kernels/matmul.js';
import { BackendError } from '../../../../src/core/errors.js';
import { describeOnWebGpu, expectClose } from '../../../support/backends.js';
import { numbers } from '../../../support/kernel-cases.js';

const TRANSPOSITIONS = [[false, false], [false, true], [true, false], [true, true]] as const;
type Size = readonly [m: number, n: number, k: number];

/** (m, k)·(k, n) in float64. */
function reference(a: ArrayLike<number>, b: ArrayLike<number>, [m, n, k]: Size): Float64Array {
  const out = new Float64Array(m * n);
  for (let i = 0; i < m; i++) for (let l = 0; l < k; l++) for (let j = 0; j < n; j++) out[i * n + j]! += (a[i * k + l] as number) * (b[l * n + j] as number);
  return out;
}

/** A matrix (rows, columns), stored as its transpose where asked. */
function stored(values: Float32Array, [rows, columns]: readonly [number, number], isTransposed: boolean): tf.Tensor2D {
  if (!isTransposed) return tf.tensor2d(values, [rows, columns]);
  return tf.tensor2d(Float32Array.from(values, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)] as number), [columns, rows]);
}

describe('how a product is shared out among workgroups', () => {
  const plan = (m: number, n: number, k: number): TilePlan => planTiles({ m, n, k, batches: 1 }, true);

  it('the layers of OPT-125M take large tiles, and a weight gradient the terms in parts', () => {
    expect(plan(32_768, 3072, 768)).to.deep.equal({ side: 128, parts: 1 });
    expect(plan(768, 768, 32_768)).to.deep.equal({ side: 128, parts: 8 }); // 36 tiles
    expect(planTiles({ m: 768, n: 768, k: 32_768, batches: 1 }, false)).to.deep.equal({ side: 32, parts: 1 });
  });

  it('few results take small tiles; few terms are not split', () => {
    expect(plan(96, 96, 64)).to.deep.equal({ side: 32, parts: 1 });
    expect(plan(64, 64, 1023)).to.deep.equal({ side: 32, parts: 1 });
    expect(plan(64, 64, 1024)).to.deep.equal({ side: 32, parts: 2 });
  });
});

describeOnWebGpu('matrix products', () => {
  /** One per limit: each compiles its kernels anew. */
  const dispatchers = new Map<number | undefined, GpuDispatcher>();
  const gpu = (bindingBytes?: number): GpuDispatcher => {
    const made = dispatchers.get(bindingBytes) ?? createDispatcher(tf.backend() as unknown as GpuBackend, bindingBytes);
    dispatchers.set(bindingBytes, made);
    return made;
  };

  /** Runs one product with a plan of the test's own. */
  function multiplied(
    [a, b]: readonly [tf.Tensor, tf.Tensor], attrs: { transposeA: boolean; transposeB: boolean }, how: { bindingBytes?: number; plan?: () => TilePlan } = {},
  ): tf.Tensor {
    const product = matrixProductOf({ a, b }, attrs);
    if (product === null) throw new Error('no product');
    return tf.engine().makeTensorFromTensorInfo(multiplyMatrices(gpu(how.bindingBytes), product, { half: null, plan: how.plan ?? planTiles, bias: null }));
  }

  for (const size of [[1, 1, 1], [5, 7, 3], [33, 31, 40], [66, 1, 9], [1, 70, 17]] as const) {
    it(`m, n, k = ${size.join(', ')}, all four transpositions, against float64`, async () => {
      const [m, n, k] = size;
      const random = numbers(m + n + k);
      const [a, b] = [random.floats(m * k), random.floats(k * n)];
      const expected = reference(a, b, size);
      for (const [ta, tb] of TRANSPOSITIONS) {
        const y = tf.tidy(() => tf.matMul(stored(a, [m, k], ta), stored(b, [k, n], tb), ta, tb));
        expectClose(await y.data(), expected, { absolute: 1e-6 * k }, `${ta} ${tb}`);
        y.dispose();
      }
    });
  }

  it('large tiles, and terms in parts: the same results', async () => {
    const size = [131, 67, 29] as const;
    const random = numbers(5);
    const [a, b] = [random.floats(131 * 29), random.floats(29 * 67)];
    const expected = reference(a, b, size);
    const attrs = { transposeA: true, transposeB: true };
    for (const plan of [{ side: 128, parts: 1 }, { side: 32, parts: 5 }] as const) {
      const y = tf.tidy(() => multiplied([stored(a, [131, 29], true), stored(b, [29, 67], true)], attrs, { plan: () => plan }));
      expectClose(await y.data(), expected, { absolute: 3e-5 }, JSON.stringify(plan));
      y.dispose();
    }
  });

  for (const [shapeA, shapeB] of [[[3, 1, 5, 7], [1, 2, 7, 9]], [[4, 5, 7], [4, 7, 9]], [[2, 3, 5, 7], [7, 9]], [[5, 7], [3, 7, 9]], [[2, 3, 5, 7], [3, 7, 9]]]) {
    it(`batches [${shapeA!.join(', ')}]·[${shapeB!.join(', ')}] broadcast as the shapes say`, async () => {
      const random = numbers(shapeA!.length * 10 + shapeB!.length);
      const [a, b] = [shapeA!, shapeB!].map((shape) => random.floats(shape.reduce((x, y) => x * y))) as [Float32Array, Float32Array];
      const y = tf.tidy(() => tf.matMul(tf.tensor(a, shapeA), tf.tensor(b, shapeB)));
      const [outer, last] = [y.shape.slice(0, -2), (shape: readonly number[]) => shape.slice(0, -2)];
      const offset = (index: readonly number[], own: readonly number[]): number =>
        own.reduce((at, extent, i) => at * extent + (extent === 1 ? 0 : index[index.length - own.length + i] as number), 0);
      const expected: number[] = [];
      for (let flat = 0; flat < outer.reduce((x, e) => x * e, 1); flat++) {
        const index = outer.map((extent, i) => Math.floor(flat / outer.slice(i + 1).reduce((x, e) => x * e, 1)) % extent);
        const [i, j] = [offset(index, last(shapeA!)), offset(index, last(shapeB!))];
        expected.push(...reference(a.subarray(35 * i, 35 * i + 35), b.subarray(63 * j, 63 * j + 63), [5, 9, 7]));
      }
      expectClose(await y.data(), expected, { absolute: 1e-5 });
      y.dispose();
    });
  }

  it('gradients are the products with the result\'s, against float64', async () => {
    const [m, n, k] = [9, 6, 35];
    const random = numbers(8);
    const [a, b, dy] = [random.floats(m * k), random.floats(k * n), random.floats(m * n)];
    const [da, db] = tf.tidy(() => tf.grads((x, y) => tf.sum(tf.mul(tf.matMul(x as tf.Tensor2D, y as tf.Tensor2D), tf.tensor2d(dy, [m, n]))))([tf.tensor2d(a, [m, k]), tf.tensor2d(b, [k, n])]));
    const turned = (values: Float32Array, rows: number, columns: number): Float32Array => Float32Array.from(values, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)] as number);
    expectClose(await da!.data(), reference(dy, turned(b, k, n), [m, k, n]), { absolute: 1e-5 }, 'dA');
    expectClose(await db!.data(), reference(turned(a, m, k), dy, [k, n, m]), { absolute: 1e-5 }, 'dB');
    tf.dispose([da!, db!]);
  });

  it('with a bias per column, against float64; with an activation it is the standard kernel\'s', async () => {
    const [m, n, k] = [37, 41, 19];
    const random = numbers(12);
    const [a, b, bias] = [random.floats(m * k), random.floats(k * n), random.floats(n)];
    const expected = reference(a, b, [m, n, k]).map((sum, i) => sum + bias[i % n]!);
    for (const activation of ['linear', 'relu'] as const) {
      const y = tf.tidy(() => tf.fused.matMul({ a: tf.tensor2d(a, [m, k]), b: tf.tensor2d(b, [k, n]), bias: tf.tensor1d(bias), activation }));
      expectClose(await y.data(), activation === 'relu' ? expected.map((sum) => Math.max(0, sum)) : expected, { absolute: 1e-5 }, activation);
      y.dispose();
    }
  });

  it('no terms, no rows and whole numbers are left to the standard kernel', async () => {
    const [none, whole] = tf.tidy(() => [
      tf.matMul(tf.zeros([0, 4]), tf.zeros([4, 3])), tf.matMul(tf.tensor2d([[1, 2]], undefined, 'int32'), tf.tensor2d([[3], [4]], undefined, 'int32')),
    ]);
    expect(none!.shape).to.deep.equal([0, 3]);
    expect([...await whole!.data()]).to.deep.equal([11]);
    tf.dispose([none!, whole!]);
  });

  it('whole numbers that were cast to float32, which leaves them as they are in memory', async () => {
    const y = tf.tidy(() => tf.matMul(tf.cast(tf.tensor2d([[1, -2], [3, 4]], undefined, 'int32'), 'float32') as tf.Tensor2D, tf.tensor2d([[0.5], [8]])));
    expect([...await y.data()]).to.deep.equal([-15.5, 33.5]);
    y.dispose();
  });

  it('a not-a-number reaches what depends on it and nothing else', async () => {
    const a = new Float32Array(3 * 5).fill(1);
    a[1 * 5 + 4] = NaN;
    const y = tf.tidy(() => tf.matMul(tf.tensor2d(a, [3, 5]), tf.ones([5, 2])));
    expect([...await y.data()]).to.deep.equal([5, 5, NaN, NaN, 5, 5]);
    y.dispose();
  });

  describe('tensors larger than a binding may be', () => {
    // 37 rows of 70 elements, bound 4 rows at a time at most: of 1536 bytes, 256 are lost to alignment.
    const bindingBytes = 1536;
    const random = numbers(11);
    const [large, rows] = [random.floats(37 * 70), random.floats(3 * 70)];

    it('a head tied to the embedding, x·Eᵀ: rows of E are columns of the result', async () => {
      const y = tf.tidy(() => multiplied([tf.tensor2d(rows, [3, 70]), tf.tensor2d(large, [37, 70])], { transposeA: false, transposeB: true }, { bindingBytes }));
      const transposed = Float32Array.from(large, (_, i) => large[(i % 37) * 70 + Math.floor(i / 37)] as number);
      expectClose(await y.data(), reference(rows, transposed, [3, 37, 70]), { absolute: 1e-5 });
      y.dispose();
    });

    it('its gradient, dyᵀ·x, written in parts; and x\'s, dy·E, summed over parts of the terms', async () => {
      const dy = random.floats(3 * 37);
      const dyTransposed = Float32Array.from(dy, (_, i) => dy[(i % 3) * 37 + Math.floor(i / 3)] as number);
      const [dE, dx] = tf.tidy(() => {
        const d = tf.tensor2d(dy, [3, 37]);
        return [
          multiplied([d, tf.tensor2d(rows, [3, 70])], { transposeA: true, transposeB: false }, { bindingBytes }),
          multiplied([d, tf.tensor2d(large, [37, 70])], { transposeA: false, transposeB: false }, { bindingBytes }),
        ];
      });
      expectClose(await dE!.data(), reference(dyTransposed, rows, [37, 70, 3]), { absolute: 1e-5 }, 'dE');
      expectClose(await dx!.data(), reference(dy, large, [3, 70, 37]), { absolute: 1e-5 }, 'dx');
      tf.dispose([dE!, dx!]);
    });

    it('both inputs in parts of the terms, and batches one by one', async () => {
      const b = random.floats(2 * 37 * 11);
      const y = tf.tidy(() => multiplied([tf.tensor2d(large, [37, 70]), tf.tensor3d(b, [2, 37, 11])], { transposeA: true, transposeB: false }, { bindingBytes }));
      const turned = Float32Array.from(large, (_, i) => large[(i % 37) * 70 + Math.floor(i / 37)] as number);
      const expected = [0, 1].flatMap((i) => [...reference(turned, b.subarray(i * 407, i * 407 + 407), [70, 11, 37])]);
      expectClose(await y.data(), expected, { absolute: 1e-5 });
      y.dispose();
    });

    it('a program of TensorFlow.js refuses it by name instead of computing something else', () => {
      const backend = tf.backend() as unknown as GpuBackend;
      const { tensorToBinding } = backend;
      guardBindings(backend, 8000);
      try {
        tf.tidy(() => {
          expect(() => tf.add(tf.zeros([2000]), 1)).to.not.throw();
          expect(() => tf.add(tf.zeros([2001]), 1)).to.throw(BackendError, /TensorFlow\.js: a tensor float32 \[2001\] takes 8004 bytes.*at most 8000/);
        });
      } finally {
        backend.tensorToBinding = tensorToBinding;
      }
    });

    it('a row that does not fit is an error that names the tensor, its size, the limit and what to change', () => {
      tf.tidy(() => {
        const [a, b] = [tf.zeros([2, 300]), tf.zeros([300, 2])];
        expect(() => multiplied([a, b], { transposeA: false, transposeB: false }, { bindingBytes: 1024 }))
          .to.throw(BackendError, /float32 \[2, 300\] takes 2400 bytes.*at most 1024.*maxStorageBufferBindingSize/)
          .with.property('suggestions').that.includes('lower train.batch (and raise train.accumulate) or train.context');
      });
    });
  });
});
