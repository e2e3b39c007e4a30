import { expect } from 'chai';

import { ShapeError } from '../../src/core/errors.js';
import { prepareBackend } from '../../src/core/pipeline/prepare-backend.js';
import { callKernel, numbers, relativeDifference } from '../support/kernel-cases.js';

describe('kernels: causal maps (wasm)', () => {
  before(() => prepareBackend('wasm'));

  for (const length of [1, 2, 5, 8, 13, 66]) {
    it(`softmax up to the diagonal, ${length} tokens, in float64; what lies beyond is not looked at`, () => {
      const shape = [2, 3, length, length];
      const random = numbers(length);
      const scores = random.floats(6 * length ** 2, 20).map((value, at) => (at % length > Math.floor(at / length) % length ? Number.NaN : value));
      const [found] = callKernel('BispikCausalSoftmax', { x: { values: scores, shape } }, { divisor: 3 });
      const expected = Array.from(scores, (_, at) => {
        const [row, key] = [Math.floor(at / length), at % length];
        const seen = [...scores.slice(row * length, row * length + (row % length) + 1)].map((score) => Math.exp((score - 20) / 3));
        return key > row % length ? 0 : (seen[key] as number) / seen.reduce((sum, e) => sum + e, 0);
      });
      expect(found?.shape).to.deep.equal(shape);
      expect(relativeDifference(found?.values ?? [], expected)).to.be.below(1e-6);
      expected.forEach((value, at) => { if (value === 0) expect(found?.values[at]).to.equal(0); });
    });
  }

  it('refuses maps that are not square', () => {
    const maps = (...shape: number[]) => ({ values: new Float32Array(shape.reduce((size, extent) => size * extent, 1)), shape });
    expect(() => callKernel('BispikCausalSoftmax', { x: maps(1, 1, 2, 3) }, { divisor: 1 })).to.throw(ShapeError, 'x is float32 [1, 1, 2, 3]');
  });
});
