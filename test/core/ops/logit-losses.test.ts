import * as tf from '@tensorflow/tfjs-core';

import type { RowLosses } from '../../../src/core/ops/logit-losses.js';
import { crossEntropy, softTargetDivergence } from '../../../src/core/ops/logit-losses.js';
import { describeOnBackends, expectClose } from '../../support/backends.js';
import type { Input } from '../../support/finite-differences.js';
import { finiteDifferences, seededInput } from '../../support/finite-differences.js';

const [ROWS, VOCABULARY] = [4, 6];

function logSoftmax(row: readonly number[]): number[] {
  const total = Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0));
  return row.map((x) => x - total);
}
/** Losses of the rows, and the gradient of Σ weights·loss. */
async function evaluate(losses: () => RowLosses, weights: readonly number[]): Promise<{ value: ArrayLike<number>; gradient: number[] }> {
  const { loss, gradient } = losses();
  const slopes = await gradient.data();
  return { value: await loss.data(), gradient: Array.from(slopes, (x, i) => x * (weights[Math.floor(i * weights.length / slopes.length)] as number)) };
}
const tensorOf = ({ values, shape }: Input): tf.Tensor2D => tf.tensor2d([...values], shape as [number, number]);
const rowsOf = (x: readonly number[]): number[][] => Array.from({ length: x.length / VOCABULARY }, (_, i) => x.slice(i * VOCABULARY, (i + 1) * VOCABULARY));

describeOnBackends('losses per row', () => {
  it('cross-entropy by hand: softmax of [0, ln 3] is ¼, ¾; its gradient is p minus the target', async () => {
    const { value, gradient } = await evaluate(() => crossEntropy(tf.tensor2d([0, Math.log(3), 0, Math.log(3), 5, 9], [3, 2]), tf.tensor1d([1, 0, -1], 'int32')), [1, 2, 4]);
    expectClose(value, [Math.log(4 / 3), Math.log(4), 0], { absolute: 1e-6 });
    expectClose(gradient, [0.25, -0.25, -1.5, 1.5, 0, 0], { absolute: 1e-6 });
  });

  it('cross-entropy neither overflows nor loses small losses', async () => {
    const { loss } = crossEntropy(tf.tensor2d([1000, 0, -1000, 10, 0, 0], [2, 3]), tf.tensor1d([2, 0], 'int32'));
    expectClose(await loss.data(), [2000, Math.log1p(2 * Math.exp(-10))], { absolute: 1e-6, relative: 1e-6 });
  });

  it('cross-entropy agrees with float64 and its finite differences', async () => {
    const labels = [3, -1, 0, 5];
    const logits = seededInput([ROWS, VOCABULARY], 5);
    const weights = [1, 2, -0.5, 0.25];
    const reference = (x: readonly number[]): number[] => rowsOf(x).map((row, i) => ((labels[i] as number) < 0 ? 0 : -(logSoftmax(row)[labels[i] as number] as number)));
    const { value, gradient } = await evaluate(() => crossEntropy(tensorOf(logits), tf.tensor1d(labels, 'int32')), weights);
    expectClose(value, reference(logits.values), { absolute: 1e-5 });
    expectClose(gradient, finiteDifferences(reference, [logits], weights)[0] as number[], { absolute: 1e-5 });
  });

  it('soft targets by hand: at τ = 2, ¼ : ¾ against ½ : ½', async () => {
    const teacher = tf.tensor2d([0, 2 * Math.log(3)], [1, 2]);
    const { value, gradient } = await evaluate(() => softTargetDivergence(tf.tensor2d([4, 4], [1, 2]), teacher, 2), [1]);
    expectClose(value, [0.25 * Math.log(0.5) + 0.75 * Math.log(1.5)], { absolute: 1e-6 });
    expectClose(gradient, [0.125, -0.125], { absolute: 1e-6 }); // (½ − ¼)/2
  });

  it('soft targets agree with float64 and its finite differences', async () => {
    const [student, teacher] = [seededInput([ROWS, VOCABULARY], 6), seededInput([ROWS, VOCABULARY], 7)];
    const [temperature, weights] = [1.7, [1, -1, 0.5, 3]];
    const soften = (row: readonly number[]): number[] => logSoftmax(row.map((x) => x / temperature));
    const reference = (x: readonly number[]): number[] => rowsOf(x).map((row, i) => {
      const [logS, logT] = [soften(row), soften(rowsOf(teacher.values)[i] as number[])];
      return logT.reduce((sum, t, v) => sum + Math.exp(t) * (t - (logS[v] as number)), 0);
    });
    const { value, gradient } = await evaluate(() => softTargetDivergence(tensorOf(student), tensorOf(teacher), temperature), weights);
    expectClose(value, reference(student.values), { absolute: 1e-5 });
    expectClose(gradient, finiteDifferences(reference, [student], weights)[0] as number[], { absolute: 1e-5 });
  });
});
