import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { matrixProductOf } from '../../../../src/core/backend/matrix-product.js';
import { withHalfProducts } from '../../../../src/core/backend/product-precision.js';
import { prepareHalfProducts } from '../../../../src/core/backend/select.js';
import { createDispatcher, sourceOf } from '../../../../src/core/backend/webgpu-kernels/dispatch.js';
import type { GpuBackend } from '../../../../src/core/backend/webgpu-kernels/gpu.js';
import { createHalfScales } from '../../../../src/core/backend/webgpu-kernels/half-scale.js';
import { createHalfProducts } from '../../../../src/core/backend/webgpu-kernels/half-products.js';
import { chooseUnit, unitKernel } from '../../../../src/core/backend/webgpu-kernels/matmul-units.js';
import type { UnitOffer } from '../../../../src/core/backend/webgpu-kernels/matmul-units.js';
import { halfInputs, multiplyMatrices } from '../../../../src/core/backend/webgpu-kernels/matmul.js';
import { errorBound, verifyHalfProducts } from '../../../../src/core/backend/webgpu-kernels/verify-products.js';
import { spikeLinear } from '../../../../src/core/ops/spike-linear.js';
import { describeOnWebGpu } from '../../../support/backends.js';
import { numbers, relativeDifference } from '../../../support/kernel-cases.js';

type SpikeResults = Readonly<Record<'y' | 'dw' | 'db', number[]>>;

/** y = s·w + b, dW = sᵀ·dy and db = Σ dy in float64. */
function spikeReference({ s, w, b, dy }: Readonly<Record<'s' | 'w' | 'b' | 'dy', Float32Array>>, [rows, inputs, outputs]: readonly [number, number, number]): SpikeResults {
  const [y, dw, db] = [Array.from({ length: rows * outputs }, (_, i) => b[i % outputs]!), new Array<number>(inputs * outputs).fill(0), new Array<number>(outputs).fill(0)];
  for (let row = 0; row < rows; row++) {
    for (let c = 0; c < outputs; c++) {
      db[c]! += dy[row * outputs + c]!;
      for (let i = 0; i < inputs; i++) {
        y[row * outputs + c]! += s[row * inputs + i]! * w[i * outputs + c]!;
        dw[i * outputs + c]! += s[row * inputs + i]! * dy[row * outputs + c]!;
      }
    }
  }
  return { y, dw, db };
}

const NVIDIA: UnitOffer = {
  features: new Set(['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix']), subgroupSizes: [32, 32],
  configs: [{ componentType: 'f16', resultComponentType: 'f16', M: 16, N: 16, K: 16 }, { componentType: 'f16', resultComponentType: 'f32', M: 16, N: 8, K: 8 },
    { componentType: 'f16', resultComponentType: 'f32', M: 16, N: 16, K: 16 }, { componentType: 'i8', resultComponentType: 'i32', M: 16, N: 16, K: 32 }],
  limits: { maxComputeWorkgroupStorageSize: 49_152, maxComputeInvocationsPerWorkgroup: 1024 },
};

describe('the matrix units of an adapter', () => {
  it('the largest with float16 inputs and float32 sums is taken', () => {
    expect(chooseUnit(NVIDIA)).to.deep.equal({ M: 16, N: 16, K: 16, lanes: 32 });
  });

  for (const [what, change, why] of [
    ['no feature', { features: new Set(['shader-f16']) }, /not offered/],
    ['subgroups of several sizes', { subgroupSizes: [8, 32] as const }, /8 to 32/],
    ['no fitting shape', { configs: [{ componentType: 'f16', resultComponentType: 'f32', M: 24, N: 16, K: 16 }] }, /none with float16/],
    ['too many invocations', { subgroupSizes: [64, 64] as const, limits: { ...NVIDIA.limits, maxComputeInvocationsPerWorkgroup: 256 } }, /512 .* 256/],
    ['little workgroup memory', { limits: { ...NVIDIA.limits, maxComputeWorkgroupStorageSize: 16_384 } }, /workgroup memory.*16384/],
  ] as const) {
    it(`${what}: none, with the reason`, () => { expect(chooseUnit({ ...NVIDIA, ...change })).to.match(why); });
  }

  it('our WGSL is what this version of Dawn takes for them (its null backend, which compiles and computes nothing)', async function () {
    const name: string = 'webgpu';
    const dawn = await import(name).catch(() => null) as { create(options: string[]): NullGpu } | null;
    if (dawn === null) this.skip();
    kept = dawn.create(['backend=null', 'enable-dawn-features=allow_unsafe_apis']);
    const adapter = await kept.requestAdapter();
    if (adapter === null) this.skip();
    const device = await adapter.requestDevice({ requiredFeatures: [...NVIDIA.features] });
    for (const [transposeA, transposeB, packedA] of [[false, false, false], [false, true, false], [true, false, false], [true, true, false], [false, false, true], [true, false, true]] as const) {
      const code = sourceOf(unitKernel({ transposeA, transposeB, half: true, packedA }, { M: 16, N: 16, K: 16, lanes: 32 }));
      const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
      expect(messages.map(({ message, lineNum }) => `${lineNum}: ${message}`)).to.deep.equal([]);
    }
    device.destroy();
  });
});

/** Dawn's instance must outlive its events. */
let kept: NullGpu | null = null;

interface NullGpu { requestAdapter(): Promise<{ requestDevice(asked: object): Promise<NullDevice> } | null> }
interface NullDevice { createShaderModule(options: { code: string }): { getCompilationInfo(): Promise<{ messages: { message: string; lineNum: number }[] }> }; destroy(): void }

describeOnWebGpu('products of inputs rounded to float16', () => {
  const backend = (): GpuBackend => tf.backend() as unknown as GpuBackend;

  it('scales bring the largest magnitude into [2^14, 2^15); zero, infinity and NaN keep 1', async () => {
    const gpu = createDispatcher(backend());
    const { scales, slotOf } = createHalfScales(gpu);
    const cases: [number[], number][] = [[[0, 0], 1], [[1, -3, 0.5], 2 ** 13], [[2 ** -30], 2 ** 44], [[-(2 ** 15)], 0.5], [[1, Infinity], 1], [[NaN, 2], 1], [[16384, 32767], 1]];
    const long = numbers(3).floats(5000);
    long[4321] = -7;
    const tensors = [...cases.map(([values]) => values), [...long]].map((values) => tf.tensor1d(values));
    const slots = tensors.map((tensor) => slotOf(tensor, 1));
    expect(slots).to.deep.equal(tensors.map((_, i) => i));
    expect(slotOf(tensors[2]!, 1), 'measured once').to.equal(2);
    expect(slotOf(tensors[2]!, 2), 'and anew in the next pass').to.equal(tensors.length);
    const read = await backend().read(scales.dataId);
    expect(Array.from(read).slice(0, tensors.length)).to.deep.equal([...cases.map(([, scale]) => scale), 2 ** 12]);
    tf.dispose(tensors);
  });

  it('without float16 nothing is ready, and products stay float32 also in such a pass', async function () {
    if (backend().device.features.has('shader-f16')) this.skip();
    expect(await prepareHalfProducts('webgpu')).to.deep.equal({ isReady: false, details: ['float16: not offered by the adapter (no shader-f16)'] });
    const y = withHalfProducts(() => tf.tidy(() => tf.matMul(tf.tensor2d([[1 + 2 ** -20]]), tf.tensor2d([[1]]))));
    expect((await y.data())[0]).to.equal(1 + 2 ** -20);
    y.dispose();
  });

  describe('with float16 (apt: mesa-vulkan-drivers of bookworm-backports, VK_DRIVER_FILES naming its lvp_icd.json)', () => {
    before(function () {
      if (!backend().device.features.has('shader-f16')) this.skip(); // SwiftShader has none
    });

    it('the kernels pass their verification, and one that multiplies something else does not', async () => {
      const gpu = createDispatcher(backend());
      const products = createHalfProducts(gpu, null);
      expect(await verifyHalfProducts(gpu, products, 32)).to.have.property('failure', null);
      const wrong = { ...products, kernel: (variant: Parameters<typeof products.kernel>[0]) => ({ ...products.kernel(variant, 32), code: products.kernel(variant, 32).code.replace('+= a_0[0]', '+= 1.01 * a_0[0]') }) };
      expect((await verifyHalfProducts(gpu, wrong, 32)).failure).to.match(/^wrong: the largest error/);
      const broken = { ...products, kernel: (variant: Parameters<typeof products.kernel>[0]) => ({ ...products.kernel(variant, 32), code: 'fn main() {' }) };
      expect((await verifyHalfProducts(gpu, broken, 32)).failure).to.match(/^does not compile/);
      const fine = tf.ones([3]); // nothing of this made later reads fail
      expect([...await fine.data()]).to.deep.equal([1, 1, 1]);
      fine.dispose();
    }).timeout(600_000);

    it('random shapes against float64, forward and as gradients of any size', async () => {
      const gpu = createDispatcher(backend());
      const products = createHalfProducts(gpu, null);
      const random = numbers(21);
      for (const scale of [1, 2 ** -60, 2 ** 60]) {
        const [m, n, k] = [1 + random.below(50), 1 + random.below(50), 1 + random.below(50)];
        const [a, b] = [random.floats(m * k, scale), random.floats(k * n)];
        const [A, B] = [tf.tensor2d(a, [m, k]), tf.tensor2d(b, [k, n])];
        const product = matrixProductOf({ a: A, b: B }, {})!;
        const y = tf.engine().makeTensorFromTensorInfo(multiplyMatrices(gpu, product, { half: halfInputs(products, product, 1), plan: () => ({ side: 32, parts: 1 }), bias: null }));
        const values = await y.data();
        for (let i = 0; i < m * n; i++) {
          const each = Array.from({ length: k }, (_, l) => (a[Math.floor(i / n) * k + l] as number) * (b[l * n + i % n] as number));
          const [sum, terms] = [each.reduce((s, x) => s + x, 0), each.reduce((s, x) => s + Math.abs(x), 0)];
          expect(Math.abs((values[i] as number) - sum), `${m} ${n} ${k} at ${i}`).to.be.at.most(errorBound({ terms, largest: scale, k }));
        }
        tf.dispose([A, B, y]);
      }
    }).timeout(600_000);

    // Small and large tiles; the last one's weight gradient is summed in parts. One row of the bits ends inside a word.
    for (const [rows, inputs, outputs] of [[5, 7, 3], [70, 69, 67], [1100, 41, 6]] as const) {
      it(`(${rows}, ${inputs}) packed spikes times (${inputs}, ${outputs}), its weight gradient and its bias gradient, against float64: rounded, and within the bound`, async () => {
        await prepareHalfProducts('webgpu');
        const random = numbers(rows);
        const [s, w, b, dy] = [random.spikes(rows * inputs, 0.3), random.floats(inputs * outputs, 2 ** -20), random.floats(outputs, 2 ** -20), random.floats(rows * outputs, 2 ** 30)];
        const magnitudes = { s, w: w.map(Math.abs), b: b.map(Math.abs), dy: dy.map(Math.abs) };
        const [expected, terms] = [{ s, w, b, dy }, magnitudes].map((of) => spikeReference(of, [rows, inputs, outputs])) as [SpikeResults, SpikeResults];
        const compute = async (): Promise<Float32Array[]> => {
          const tensors = withHalfProducts(() => tf.tidy(() => {
            const given = [tf.tensor3d(s, [1, rows, inputs]), tf.tensor2d(w, [inputs, outputs]), tf.tensor1d(b)] as const;
            const y = spikeLinear(...given);
            const [, dw, db] = tf.grads((spikes, weight, bias) => spikeLinear(spikes as tf.Tensor3D, weight as tf.Tensor2D, bias as tf.Tensor1D))([...given], tf.tensor3d(dy, [1, rows, outputs]));
            return [y, dw!, db!];
          }));
          const values = await Promise.all(tensors.map((tensor) => tensor.data<'float32'>()));
          tf.dispose(tensors);
          return values;
        };
        const [y, dw, db] = await compute();
        const errors = (found: Float32Array, key: keyof SpikeResults): number[] => [...found].map((value, i) => Math.abs(value - expected[key][i]!));
        errors(y!, 'y').forEach((error, i) => { expect(error, `y ${i}`).to.be.at.most(errorBound({ terms: terms.y[i]!, largest: 2 ** -20, k: inputs })); });
        errors(dw!, 'dw').forEach((error, i) => { expect(error, `dW ${i}`).to.be.at.most(errorBound({ terms: terms.dw[i]!, largest: 2 ** 30, k: rows })); });
        for (const [found, key] of [[y!, 'y'], [dw!, 'dw']] as const) expect(relativeDifference(found, expected[key]), `${key} is rounded`).to.be.above(1e-5);
        expect(relativeDifference(db!, expected.db)).to.be.below(2e-6);
      }).timeout(600_000);
    }

    it('spikes and counts are exact', async () => {
      await prepareHalfProducts('webgpu');
      const spikes = numbers(4).spikes(20 * 70, 0.4);
      const y = withHalfProducts(() => tf.tidy(() => { const s = tf.tensor2d(spikes, [20, 70]); return tf.matMul(s, s, false, true); }));
      const expected = Array.from({ length: 400 }, (_, i) => Array.from({ length: 70 }, (__, l) => spikes[Math.floor(i / 20) * 70 + l]! * spikes[(i % 20) * 70 + l]!).reduce((s, x) => s + x, 0));
      expect([...await y.data()]).to.deep.equal(expected);
      y.dispose();
    }).timeout(600_000);
  });
});
