import { expect } from 'chai';

import { startWasm } from '../../../../src/core/backend/wasm.js';
import { callKernel, numbers } from '../../../support/kernel-cases.js';
import { packed } from '../../../support/packed-spikes.js';

const f = Math.fround;

/** Bias first, then the weight rows of the inputs that fired, ascending, each sum rounded to float32. */
function forward(s: Float32Array, w: Float32Array, b: Float32Array): number[] {
  const n = b.length;
  const k = w.length / n;
  return Array.from({ length: (s.length / k) * n }, (_, at) => {
    const [row, column] = [Math.floor(at / n), at % n];
    let sum = b[column] ?? 0;
    for (let i = 0; i < k; i++) if (s[row * k + i] === 1) sum = f(sum + (w[i * n + column] ?? 0));
    return sum;
  });
}

function gradW(s: Float32Array, dy: Float32Array, [k, n]: readonly [number, number]): number[] {
  return Array.from({ length: k * n }, (_, at) => {
    const [input, column] = [Math.floor(at / n), at % n];
    let sum = 0;
    for (let row = 0; row * k < s.length; row++) if (s[row * k + input] === 1) sum = f(sum + (dy[row * n + column] ?? 0));
    return sum;
  });
}

describe('wasm kernels: products with spikes', () => {
  before(startWasm);

  const sizes = [[1, 1, 1], [3, 5, 7], [65, 64, 32], [70, 130, 33], [300, 17, 40], [2, 200, 3], [257, 96, 66]] as const;
  for (const [m, k, n] of sizes) {
    for (const rate of [0, 0.1, 1]) {
      it(`(${m}, ${k})·(${k}, ${n}) with ${rate * 100} % spikes equals the plain loops bit for bit`, () => {
        const random = numbers(m + k + n);
        const [s, w, b, dy] = [random.spikes(m * k, rate), random.floats(k * n), random.floats(n), random.floats(m * n)];
        const [bits] = callKernel('BispikPackSpikes', { s: { values: s, shape: [m, k] } });
        const spikes = packed(s, [m, k]);
        expect(bits?.shape).to.deep.equal(spikes.shape);
        expect([...(bits?.values ?? [])]).to.deep.equal([...spikes.values]);
        const [y] = callKernel('BispikSpikeMatMul', { s: spikes, w: { values: w, shape: [k, n] }, b: { values: b, shape: [n] } }, { inputs: k });
        expect(y?.shape).to.deep.equal([m, n]);
        expect([...(y?.values ?? [])]).to.deep.equal(forward(s, w, b));
        const [dw, db] = callKernel('BispikSpikeMatMulGradW', { s: spikes, dy: { values: dy, shape: [m, n] } }, { inputs: k });
        expect([...(dw?.values ?? [])]).to.deep.equal(gradW(s, dy, [k, n]));
        const columns = Array.from({ length: n }, (_, c) => f(Array.from({ length: m }, (__, r) => dy[r * n + c] ?? 0).reduce((p, q) => p + q, 0)));
        expect([...(db?.values ?? [])]).to.deep.equal(columns);
      });
    }
  }

  it('a small case by hand', () => {
    const s = { values: Int32Array.of(0b101, 0), shape: [2, 1] };
    const w = { values: Float32Array.of(1, 2, 10, 20, 100, 200), shape: [3, 2] };
    const [y] = callKernel('BispikSpikeMatMul', { s, w, b: { values: Float32Array.of(0.5, -1), shape: [2] } }, { inputs: 3 });
    expect([...(y?.values ?? [])]).to.deep.equal([101.5, 201, 0.5, -1]);
    const [dw, db] = callKernel('BispikSpikeMatMulGradW', { s, dy: { values: Float32Array.of(3, 4, 5, 6), shape: [2, 2] } }, { inputs: 3 });
    expect([...(dw?.values ?? [])]).to.deep.equal([3, 4, 0, 0, 3, 4]);
    expect([...(db?.values ?? [])]).to.deep.equal([8, 10]);
  });

  it('refuses weights of another width, and spikes that are not packed, with both shapes', () => {
    const call = (s: Float32Array | Int32Array) => (): unknown => callKernel('BispikSpikeMatMul', {
      s: { values: s, shape: [1, s.length] }, w: { values: Float32Array.of(1, 2, 3), shape: [3, 1] }, b: { values: Float32Array.of(0), shape: [1] },
    }, { inputs: 2 });
    expect(call(Int32Array.of(1))).to.throw('w is float32 [3, 1]; float32 [2, 1] was expected').with.property('exitCode', 5);
    expect(call(Float32Array.of(1, 0))).to.throw('s is float32 [1, 2]; packed spikes of 2 inputs, int32 [1, 1], were expected').with.property('exitCode', 5);
  });
});
