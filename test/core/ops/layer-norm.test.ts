import * as tf from '@tensorflow/tfjs-core';

import { layerNorm, normalise } from '../../../src/core/ops/layer-norm.js';
import { describeOnBackends, expectClose } from '../../support/backends.js';
import { evaluateOperation, finiteDifferences, seededInput } from '../../support/finite-differences.js';

const [ROWS, WIDTH, EPSILON] = [3, 5, 1e-3];

/** The definition in float64. */
function reference(x: readonly number[], weight: readonly number[], bias: readonly number[]): number[] {
  const width = weight.length;
  return x.map((value, i) => {
    const row = x.slice(Math.floor(i / width) * width, (Math.floor(i / width) + 1) * width);
    const mean = row.reduce((a, b) => a + b) / width;
    const variance = row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / width;
    return ((value - mean) / Math.sqrt(variance + EPSILON)) * (weight[i % width] as number) + (bias[i % width] as number);
  });
}

describeOnBackends('layer norm', () => {
  it('by hand: [1, 3] has mean 2 and deviation 1; twice that plus 10 and 20', async () => {
    const y = layerNorm(tf.tensor2d([1, 3], [1, 2]), { weight: tf.tensor1d([2, 2]), bias: tf.tensor1d([10, 20]), epsilon: 0 });
    expectClose(await y.data(), [8, 22], { absolute: 1e-5 });
  });

  it('keeps the shape of any rank, and a constant row is 0 however small ε', async () => {
    const y = normalise(tf.tensor3d([1, 3, 4, 4, 5, 3], [3, 1, 2]), 1e-5);
    expectClose(y.shape, [3, 1, 2], { absolute: 0 });
    expectClose(await y.data(), [-1, 1, 0, 0, 1, -1], { absolute: 1e-4 });
  });

  for (const [rows, width] of [[1, 1], [3, 5], [5, 8], [2, 13], [2, 270]] as const) {
    it(`without scale and shift, (${rows}, ${width}): value and gradient agree with the definition in float64 and its finite differences`, async () => {
      const [input, weights] = [seededInput([rows, width], rows + width), seededInput([rows * width], 7).values];
      const expected = (x: readonly number[]): number[] => reference(x, new Array<number>(width).fill(1), new Array<number>(width).fill(0));
      const { value, gradients } = await evaluateOperation((x) => normalise(x, EPSILON), [input], weights);
      expectClose(value, expected(input.values), { absolute: 1e-5 });
      expectClose(gradients[0] as Float32Array, finiteDifferences(expected, [input], weights)[0] as number[], { absolute: 3e-5 });
    });
  }

  it('value and all three gradients agree with the definition in float64 and its finite differences', async () => {
    const inputs = [seededInput([ROWS, WIDTH], 1), seededInput([WIDTH], 2), seededInput([WIDTH], 3)];
    const weights = seededInput([ROWS * WIDTH], 4).values;
    const { value, gradients } = await evaluateOperation((x, weight, bias) => layerNorm(x as tf.Tensor2D, { weight: weight as tf.Tensor1D, bias: bias as tf.Tensor1D, epsilon: EPSILON }), inputs, weights);
    expectClose(value, reference(...(inputs.map(({ values }) => values) as [number[], number[], number[]])), { absolute: 1e-5 });
    const expected = finiteDifferences(reference as (...all: (readonly number[])[]) => number[], inputs, weights);
    gradients.forEach((gradient, i) => expectClose(gradient, expected[i] as number[], { absolute: 2e-5 }, `gradient of input ${i}`));
  });
});
