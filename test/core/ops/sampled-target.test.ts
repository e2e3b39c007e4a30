import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { createRandom } from '../../../src/core/corpus/random.js';
import { headLosses } from '../../../src/core/ops/head-losses.js';
import { softTargetDivergence } from '../../../src/core/ops/logit-losses.js';
import { sampledTargetDivergence } from '../../../src/core/ops/sampled-target.js';
import { weightedLosses } from '../../../src/core/ops/weighted-losses.js';
import { describeOnBackends, expectClose } from '../../support/backends.js';

interface Row { readonly logits: number[]; readonly ids: number[]; readonly weights: number[]; readonly entropy: number }

/** Rows with ids that are likely to come twice, weights that sum to 1 and some of them 0. */
function randomRows(shape: { rows: number; vocabulary: number; count: number }, seed: number): Row[] {
  const random = createRandom(seed);
  return Array.from({ length: shape.rows }, () => {
    const raw = Array.from({ length: shape.count }, (_, n) => (n > 0 && random.next() < 0.2 ? 0 : random.next()));
    const sum = raw.reduce((a, b) => a + b);
    return {
      logits: Array.from({ length: shape.vocabulary }, () => 3 * random.normal()),
      ids: Array.from({ length: shape.count }, () => random.integer(shape.vocabulary)),
      weights: raw.map((weight) => weight / sum), entropy: random.next(),
    };
  });
}

/** −H − Σ w·log softmax(x/τ)[id] in float64, as the definition says. */
function lossOf({ ids, weights, entropy }: Row, logits: readonly number[], temperature: number): number {
  const logSum = Math.log(logits.reduce((sum, x) => sum + Math.exp(x / temperature), 0));
  return ids.reduce((sum, id, n) => sum - (weights[n] as number) * ((logits[id] as number) / temperature - logSum), -entropy);
}

const tensors = (rows: readonly Row[]) => ({
  ids: tf.tensor2d(rows.map(({ ids }) => ids), undefined, 'int32'), weights: tf.tensor2d(rows.map(({ weights }) => weights)),
  entropy: tf.tensor1d(rows.map(({ entropy }) => entropy)),
});

describeOnBackends('ops/sampled-target', () => {
  for (const [shape, temperature] of [[{ rows: 5, vocabulary: 37, count: 12 }, 2], [{ rows: 3, vocabulary: 4, count: 7 }, 1], [{ rows: 1, vocabulary: 130, count: 1 }, 0.7]] as const) {
    it(`loss and gradient are the definition's in float64: ${shape.count} ids of ${shape.vocabulary}, τ = ${temperature}`, async () => {
      const rows = randomRows(shape, 10 * shape.vocabulary);
      const x = tf.tensor2d(rows.map(({ logits }) => logits));
      const { loss, gradient } = tf.tidy(() => ({ ...sampledTargetDivergence(x, tensors(rows), temperature) }));
      expectClose(await loss.data(), rows.map((row) => lossOf(row, row.logits, temperature)), { absolute: 1e-5, relative: 1e-5 });
      const h = 1e-5;
      const slope = rows.flatMap((row) => row.logits.map((_, v) => {
        const moved = (by: number): number => lossOf(row, row.logits.map((value, at) => (at === v ? value + by : value)), temperature);
        return (moved(h) - moved(-h)) / (2 * h);
      }));
      expectClose(await gradient.data(), slope, { absolute: 1e-5, relative: 1e-4 });
      tf.dispose([loss, gradient, x]);
    });
  }

  it('with labels: both losses of each row, and the gradient of their weighted sum, are those in float64; a row without a label has only the first', async () => {
    const [rows, temperature, soft, hard] = [randomRows({ rows: 6, vocabulary: 41, count: 5 }, 3), 2, 0.7, 1.3];
    const labels = [3, -1, 40, 0, 17, -1];
    const nllOf = (logits: readonly number[], label: number): number => (label < 0 ? 0 : Math.log(logits.reduce((sum, x) => sum + Math.exp(x), 0)) - (logits[label] as number));
    for (const hasLabels of [true, false]) {
      const found = tf.tidy(() => ({
        ...weightedLosses(tf.tensor2d(rows.map(({ logits }) => logits)), { labels: hasLabels ? tf.tensor1d(labels, 'int32') : null, teacher: tensors(rows) }, { soft, hard, temperature }),
      }));
      const labelOf = (row: number): number => (hasLabels ? labels[row] as number : -1);
      expectClose(await found.soft.data(), rows.map((row) => lossOf(row, row.logits, temperature)), { absolute: 1e-5, relative: 1e-5 }, 'soft');
      expectClose(await found.hard.data(), rows.map(({ logits }, i) => nllOf(logits, labelOf(i))), { absolute: 1e-5, relative: 1e-5 }, 'hard');
      const h = 1e-5;
      const slope = rows.flatMap((row, i) => row.logits.map((_, v) => {
        const moved = (by: number): number => {
          const logits = row.logits.map((value, at) => (at === v ? value + by : value));
          return soft * lossOf(row, logits, temperature) + hard * nllOf(logits, labelOf(i));
        };
        return (moved(h) - moved(-h)) / (2 * h);
      }));
      expectClose(await found.gradient.data(), slope, { absolute: 1e-5, relative: 1e-4 }, 'gradient');
      tf.dispose([found.soft, found.hard, found.gradient]);
    }
  });

  it('is a loss on a readout whose logits exist two rows at a time: each row meets its own sample', async () => {
    const rows = randomRows({ rows: 5, vocabulary: 11, count: 3 }, 77);
    const readout = { states: tf.tensor2d(rows.map(({ logits }) => logits)), head: tf.eye(11) };
    const { soft, gradient } = tf.tidy(() => {
      const teacher = tensors(rows);
      const losses = (states: tf.Tensor) => headLosses({ ...readout, states: states as tf.Tensor2D }, { labels: tf.fill([5], -1, 'int32') as tf.Tensor1D, labelled: 0, teacher }, {
        softWeight: 0.5, hardWeight: 0, temperature: 2, chunkBytes: 2 * 11 * 4,
      });
      return { soft: losses(readout.states).soft, gradient: tf.grad((states) => losses(states).total)(readout.states) };
    });
    expectClose(await soft.data(), [0.5 * 4 * rows.reduce((sum, row) => sum + lossOf(row, row.logits, 2), 0) / 5], { absolute: 1e-5 });
    const [h, factor] = [1e-5, 0.5 * 4 / 5];
    const slope = rows.flatMap((row) => row.logits.map((_, v) => {
      const moved = (by: number): number => lossOf(row, row.logits.map((value, at) => (at === v ? value + by : value)), 2);
      return factor * (moved(h) - moved(-h)) / (2 * h);
    }));
    expectClose(await gradient.data(), slope, { absolute: 1e-5, relative: 1e-4 });
    tf.dispose([soft, gradient, readout.states, readout.head]);
  });

  it('is the divergence from whole distributions where the sample holds every id with its probability', async () => {
    const random = createRandom(8);
    const [student, teacher] = [0, 1].map(() => tf.tensor2d(Float32Array.from({ length: 4 * 9 }, () => 2 * random.normal()), [4, 9])) as [tf.Tensor2D, tf.Tensor2D];
    const [whole, sampled, wholeGradient, gradient] = tf.tidy(() => {
      const logP = tf.logSoftmax(tf.div(teacher, 2));
      const target = {
        ids: tf.tile(tf.expandDims(tf.range(0, 9, 1, 'int32'), 0), [4, 1]) as tf.Tensor2D, weights: tf.exp(logP) as tf.Tensor2D,
        entropy: tf.neg(tf.sum(tf.mul(tf.exp(logP), logP), 1)) as tf.Tensor1D,
      };
      const [exact, estimate] = [softTargetDivergence(student, teacher, 2), sampledTargetDivergence(student, target, 2)];
      return [exact.loss, estimate.loss, exact.gradient, estimate.gradient] as const;
    });
    expectClose(await sampled.data(), await whole.data(), { absolute: 2e-6 });
    expectClose(await gradient.data(), await wholeGradient.data(), { absolute: 1e-6 });
    expect((await whole.data()).every((value) => value > 0.01)).to.equal(true);
    tf.dispose([whole, sampled, wholeGradient, gradient, student, teacher]);
  });
});
