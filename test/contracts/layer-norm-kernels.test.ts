import { expect } from 'chai';

import { describeOnOurKernels } from '../support/backends.js';
import { awaitKernel, numbers, relativeDifference } from '../support/kernel-cases.js';

const EPS = 1e-5;

/** Σ dy·layerNorm(x) in float64: its derivatives by central differences are the reference of the gradient. */
function objective([x, weight, bias, dy]: readonly (readonly number[])[], width: number): number {
  let total = 0;
  for (let r = 0; r * width < x!.length; r++) {
    const row = x!.slice(r * width, (r + 1) * width);
    const mean = row.reduce((p, q) => p + q, 0) / width;
    const variance = row.reduce((p, q) => p + (q - mean) ** 2, 0) / width;
    row.forEach((v, c) => { total += dy![r * width + c]! * (((v - mean) / Math.sqrt(variance + EPS)) * weight![c]! + bias![c]!); });
  }
  return total;
}

function differences(parameters: readonly number[][], which: number, width: number): number[] {
  return parameters[which]!.map((value, i) => {
    const at = (v: number): number => objective(parameters.map((p, n) => (n === which ? p.map((w, k) => (k === i ? v : w)) : p)), width);
    return (at(value + 1e-4) - at(value - 1e-4)) / 2e-4;
  });
}

describeOnOurKernels('kernels: layer norm', () => {
  it('a row by hand', async () => {
    // (1, 2, 3, 6): mean 3, variance 3.5.
    const [y, mean, rstd] = await awaitKernel('BispikLayerNorm', {
      x: { values: Float32Array.of(1, 2, 3, 6), shape: [1, 4] }, weight: { values: Float32Array.of(1, 1, 1, 2), shape: [4] },
      bias: { values: Float32Array.of(0, 0, 1, 0), shape: [4] },
    }, { eps: 0 });
    const r = 1 / Math.sqrt(3.5);
    [-2 * r, -r, 1, 6 * r].forEach((v, i) => expect(y?.values[i]).to.be.closeTo(v, 1e-6));
    expect(mean?.values[0]).to.equal(3);
    expect(rstd?.values[0]).to.be.closeTo(r, 1e-7);
  });

  for (const [rows, width] of [[1, 3], [3, 5], [4, 8], [2, 13], [3, 270]] as const) {
    it(`gradients of (${rows}, ${width}) equal finite differences`, async () => {
      const random = numbers(rows + width);
      const [x, weight, bias, dy] = [random.floats(rows * width, 2), random.floats(width), random.floats(width), random.floats(rows * width)];
      const xs = { values: x, shape: [rows, width] };
      const w = { values: weight, shape: [width] };
      const [y, mean, rstd] = await awaitKernel('BispikLayerNorm', { x: xs, weight: w, bias: { values: bias, shape: [width] } }, { eps: EPS });
      const parameters = [[...x], [...weight], [...bias], [...dy]];
      const total = (y?.values ?? new Float32Array()).reduce((sum, v, i) => sum + v * (dy[i] ?? 0), 0);
      expect(total).to.be.closeTo(objective(parameters, width), 1e-4);
      const stats = { mean: { values: mean!.values, shape: [rows] }, rstd: { values: rstd!.values, shape: [rows] } };
      const gradients = await awaitKernel('BispikLayerNormGrad', { dy: { values: dy, shape: [rows, width] }, x: xs, weight: w, ...stats });
      gradients.forEach(({ values }, which) => expect(relativeDifference(values, differences(parameters, which, width))).to.be.below(2e-4));
    });
  }
});
