import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import type { HeadLossOptions } from '../../../src/core/ops/head-losses.js';
import { headLosses } from '../../../src/core/ops/head-losses.js';
import type { Readout } from '../../../src/core/ops/readout.js';
import { describeOnBackends, expectClose } from '../../support/backends.js';
import type { Input } from '../../support/finite-differences.js';
import { finiteDifferences, seededInput } from '../../support/finite-differences.js';
import { numbers } from '../../support/kernel-cases.js';

const [ROWS, VOCABULARY, WIDTH, TEACHER_WIDTH] = [7, 11, 3, 5];
const LABELS = [3, -1, 0, 10, 5, -1, 2];
const WHOLE = 1e9;

type Matrix = readonly (readonly number[])[];
const matrix = (values: readonly number[], width: number): number[][] => Array.from({ length: values.length / width }, (_, i) => values.slice(i * width, (i + 1) * width));
const product = (states: Matrix, head: Matrix): number[][] => states.map((h) => head.map((e) => h.reduce((sum, x, i) => sum + x * e[i]!, 0)));
function logSoftmax(row: readonly number[], temperature: number): number[] {
  const total = Math.log(row.reduce((sum, x) => sum + Math.exp(x / temperature), 0));
  return row.map((x) => x / temperature - total);
}

/** soft and hard of the definitions, in float64. */
function reference(student: Matrix, teacher: Matrix, { softWeight, hardWeight, temperature }: Omit<HeadLossOptions, 'chunkBytes'>): [soft: number, hard: number] {
  const valid = LABELS.filter((label) => label >= 0).length;
  let [soft, hard] = [0, 0];
  student.forEach((row, i) => {
    const [logS, logT] = [logSoftmax(row, temperature), logSoftmax(teacher[i]!, temperature)];
    logT.forEach((t, v) => { soft += Math.exp(t) * (t - logS[v]!); });
    if (LABELS[i]! >= 0) hard -= logSoftmax(row, 1)[LABELS[i]!]!;
  });
  return [softWeight * temperature ** 2 * soft / ROWS, hardWeight * hard / valid];
}

const inputs: readonly Input[] = [seededInput([ROWS, WIDTH], 1), seededInput([VOCABULARY, WIDTH], 2)];
const teacherInputs: readonly Input[] = [seededInput([ROWS, TEACHER_WIDTH], 3), seededInput([VOCABULARY, TEACHER_WIDTH], 4)];
const tensorOf = ({ values, shape }: Input): tf.Tensor2D => tf.tensor2d([...values], shape as [number, number]);
const readout = ([states, head]: readonly tf.Tensor[]): Readout => ({ states: states as tf.Tensor2D, head: head as tf.Tensor2D });

/** [soft, hard, total] and the gradients of 3·total with respect to states and head. */
async function evaluate(options: HeadLossOptions): Promise<{ values: number[]; gradients: Float32Array[] }> {
  const tensors = tf.tidy(() => {
    const targets = { labels: tf.tensor1d(LABELS, 'int32'), labelled: 5, teacher: readout(teacherInputs.map(tensorOf)) };
    const at = inputs.map(tensorOf);
    const { soft, hard, total } = headLosses(readout(at), targets, options);
    return [tf.stack([soft, hard, total]), ...tf.grads((...xs) => tf.mul(headLosses(readout(xs), targets, options).total, 3))(at)];
  });
  const [values, ...gradients] = await Promise.all(tensors.map((tensor) => tensor.data<'float32'>()));
  tf.dispose(tensors);
  return { values: [...values!], gradients };
}

describeOnBackends('losses on a head', () => {
  const teacher = product(matrix(teacherInputs[0]!.values, TEACHER_WIDTH), matrix(teacherInputs[1]!.values, TEACHER_WIDTH));
  const sum = (options: HeadLossOptions) => (states: readonly number[], head: readonly number[]): number[] =>
    [reference(product(matrix(states, WIDTH), matrix(head, WIDTH)), teacher, options).reduce((a, b) => a + b)];

  for (const [title, chunkBytes] of [['all rows at once', WHOLE], ['three rows at a time, then one', 3 * 4 * VOCABULARY], ['single rows, for which there is not even room', 1]] as const) {
    it(`${title}: values and gradients are those of float64`, async () => {
      const options = { softWeight: 0.4, hardWeight: 0.7, temperature: 1.7, chunkBytes };
      const { values, gradients } = await evaluate(options);
      const [soft, hard] = reference(product(matrix(inputs[0]!.values, WIDTH), matrix(inputs[1]!.values, WIDTH)), teacher, options);
      expectClose(values, [soft, hard, soft + hard], { absolute: 2e-6 });
      const expected = finiteDifferences(sum(options), inputs, [3]);
      expected.forEach((gradient, i) => expectClose(gradients[i]!, gradient, { absolute: 5e-6 }, i === 0 ? 'states' : 'head'));
    });
  }

  for (const [softWeight, hardWeight] of [[0, 2], [2, 0]] as const) {
    it(`a weight of 0 leaves a loss out (${softWeight}, ${hardWeight})`, async () => {
      const options = { softWeight, hardWeight, temperature: 2, chunkBytes: 5 * 4 * VOCABULARY };
      const { values, gradients } = await evaluate(options);
      const [soft, hard] = reference(product(matrix(inputs[0]!.values, WIDTH), matrix(inputs[1]!.values, WIDTH)), teacher, options);
      expectClose(values, [soft, hard, soft + hard], { absolute: 4e-6 });
      finiteDifferences(sum(options), inputs, [3]).forEach((gradient, i) => expectClose(gradients[i]!, gradient, { absolute: 1e-5 }));
    });
  }

  it('without any label the cross-entropy and its gradient are 0, not NaN', async () => {
    const tensors = tf.tidy(() => {
      const loss = (states: tf.Tensor): tf.Scalar => headLosses({ states: states as tf.Tensor2D, head: tf.eye(2) }, { labels: tf.tensor1d([-1, -1], 'int32'), labelled: 0, teacher: null }, {
        softWeight: 0, hardWeight: 1, temperature: 1, chunkBytes: 1,
      }).total;
      const { value, grad } = tf.valueAndGrad(loss)(tf.tensor2d([1, 2, 3, 4], [2, 2]));
      return [value, grad];
    });
    expect((await Promise.all(tensors.map(async (tensor) => [...await tensor.data()]))).flat()).to.deep.equal([0, 0, 0, 0, 0]);
  });

  it('leaves nothing behind but what it returns', () => {
    const random = numbers(9);
    const [states, head] = [tf.tensor2d(random.floats(10), [5, 2]), tf.tensor2d(random.floats(6), [3, 2])];
    const labels = tf.tensor1d([0, 1, 2, 0, 1], 'int32');
    const before = tf.memory().numTensors;
    const { soft, hard, total } = tf.tidy(() => ({ ...headLosses({ states, head }, { labels, labelled: 5, teacher: { states, head } }, { softWeight: 1, hardWeight: 1, temperature: 2, chunkBytes: 24 }) }));
    expect(tf.memory().numTensors - before).to.equal(3);
    tf.dispose([soft, hard, total, states, head, labels]);
  });
});
