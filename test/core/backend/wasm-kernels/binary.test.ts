import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

import { expect } from 'chai';

import { readKernelBinary } from '../../../../src/core/backend/wasm-kernels/binary.js';
import { instantiateKernels } from '../../../../src/core/backend/wasm-kernels/instantiate.js';
import { wasmApi } from '../../../../src/core/wasm/api.js';
import { startWasm } from '../../../../src/core/backend/wasm.js';
import { numbers } from '../../../support/kernel-cases.js';
import { product, roundedOnce, roundedTwice } from '../../../support/product-reference.js';

const FOLDER = new URL('../../../../dist/kernels/', import.meta.url);
const PAGES = 32;
/** Where the operands, the result and the scratch memory lie [bytes]. */
const [A, B, C, SCRATCH] = [0, 262_144, 524_288, 1_048_576];

/** The matrix product of a binary on plain arrays, outside any backend. */
async function matrixProduct(name: string): Promise<(a: Float32Array, b: Float32Array, size: readonly [number, number, number]) => Float32Array> {
  const memory = new wasmApi.Memory({ initial: PAGES });
  const { gemm } = await instantiateKernels(await readFile(new URL(name, FOLDER)), memory);
  return (a, b, [m, n, k]) => {
    new Float32Array(memory.buffer, A).set(a);
    new Float32Array(memory.buffer, B).set(b);
    gemm(A, B, C, 0, m, n, k, 0, 0, SCRATCH);
    return new Float32Array(memory.buffer, C, m * n).slice();
  };
}

describe('wasm kernels: the two binaries', () => {
  let hasFusedMultiplyAdd = false;
  before(async () => { ({ hasFusedMultiplyAdd } = await readKernelBinary()); });

  it('the reference rounds as worked by hand', () => {
    const [a, b] = [1 + 2 ** -12, 1 + 2 ** -11]; // a² = 1 + 2⁻¹¹ + 2⁻²⁴, halfway between b and the next float32
    expect(roundedTwice(a, a, -b)).to.equal(0);
    expect(roundedOnce(a, a, -b)).to.equal(2 ** -24);
    expect(roundedOnce(a, a, 0)).to.equal(b);
    expect(roundedOnce(a, a, 2 ** -60)).to.equal(1 + 2 ** -11 + 2 ** -23); // float64 alone would lose the 2⁻⁶⁰ and round to even
    expect(roundedOnce(a, a, -(2 ** -60))).to.equal(b);
  });

  const sizes = [[1, 1, 1], [6, 8, 4], [7, 9, 3], [13, 17, 31], [1, 40, 300], [100, 8, 257], [5, 530, 11], [97, 6, 2]] as const;
  for (const { name, multiplyAdd } of [{ name: 'training.wasm', multiplyAdd: roundedTwice }, { name: 'training-fused.wasm', multiplyAdd: roundedOnce }]) {
    it(`${name} sums in ascending order, ${multiplyAdd === roundedOnce ? 'each step rounded once' : 'products and sums rounded'}, also when V8 has optimised it`, async function () {
      if (multiplyAdd === roundedOnce && !hasFusedMultiplyAdd) this.skip();
      const run = await matrixProduct(name);
      for (const repeat of [1, 300]) {
        for (const size of sizes) {
          const [m, n, k] = size;
          const random = numbers(m + n + k);
          const [a, b] = [random.floats(m * k), random.floats(k * n)];
          let found = run(a, b, size);
          for (let i = 1; i < repeat; i++) found = run(a, b, size);
          expect([...found], size.join(' × ')).to.deep.equal([...product(a, b, { size, multiplyAdd })]);
        }
      }
    });
  }

  it('where the processor does not fuse, the binary without is taken', async function () {
    if (process.arch !== 'x64') this.skip(); // V8 has a switch for it there
    const script = `import { readKernelBinary } from '${new URL('../../../../src/core/backend/wasm-kernels/binary.ts', import.meta.url).href}';
      process.stdout.write(String((await readKernelBinary()).hasFusedMultiplyAdd));`;
    const flags = ['--no-enable-fma3', '--import', 'tsx', '--input-type=module', '--eval', script];
    expect((await promisify(execFile)(process.execPath, flags)).stdout).to.equal('false');
  });

  it('the device says which is in use', async () => {
    expect((await startWasm()).device.includes('WebAssembly SIMD with fused multiply-add')).to.equal(hasFusedMultiplyAdd);
  });
});
