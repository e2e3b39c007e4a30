import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import type { TokenBatch } from '../../../src/core/corpus/batches.js';
import { initAdam } from '../../../src/core/train/optimizer.js';
import { soloRunner } from '../../../src/core/train/passes.js';
import type { StepOptions, StepReport } from '../../../src/core/train/step.js';
import { trainStep } from '../../../src/core/train/step.js';
import { storeParameters } from '../../../src/core/train/stored-tensors.js';
import type { TrainingTask } from '../../../src/core/train/task.js';
import { describeOnBackends, expectClose } from '../../support/backends.js';
import { createTinyTask, tinyTokens } from '../../support/tiny-task.js';

const options: StepOptions = {
  adam: { beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weightDecay: 0 }, learningRate: 0.01, clipNorm: 1e9, hasTermNorms: false, runner: soloRunner,
};
const tokens = tinyTokens(4 * 7, 5);
const batchOf = (part: Int32Array): TokenBatch => ({ tokens: part, starts: new Int32Array(part.length / 7) });
const windows = batchOf(tokens);

async function weightsAfter(batches: TokenBatch[], changes: Partial<StepOptions>): Promise<{ weights: number[]; report: StepReport }> {
  const task = createTinyTask();
  const { report } = await trainStep(task, { batches, state: initAdam(task.parameters) }, { ...options, ...changes });
  return { weights: (await storeParameters(task)).flatMap(({ values }) => [...values]), report };
}

/** f(w) = a·w₀ + b·w₁ with known gradients (a, b). */
function linearTask(a: number, b: number): TrainingTask {
  const w = tf.variable(tf.tensor1d([1, 1]));
  const term = (factor: number, i: number): tf.Scalar => tf.mul(tf.sum(tf.slice(w, [i], [1])), factor);
  const terms = (): Record<string, tf.Scalar> => ({ hta: term(a, 0), sta: term(b, 1), ea: tf.scalar(0.5) });
  return {
    parameters: new Map<string, tf.Variable>([['w', w], ['idle', tf.variable(tf.scalar(5))]]),
    lowerBounds: new Map([['w', 0.97]]),
    losses: () => {
      const own = terms();
      return { total: tf.addN(Object.values(own)), terms: own, rates: null };
    },
    termLoss: (_, name) => terms()[name] as tf.Scalar,
    validNll: () => Promise.resolve(0), exportModel: () => Promise.resolve(), dispose: () => tf.dispose(w),
  };
}

describeOnBackends('train/step', () => {
  it('accumulating two micro-batches equals one batch of both', async () => {
    const whole = await weightsAfter([windows], {});
    const halves = await weightsAfter([batchOf(tokens.slice(0, 14)), batchOf(tokens.slice(14))], {});
    expectClose(halves.weights, whole.weights, { absolute: 1e-6 });
    expect(halves.report.loss).to.be.closeTo(whole.report.loss, 1e-6);
    expect(halves.report.gradNorm).to.be.closeTo(whole.report.gradNorm, 1e-6);
    expect(halves.report.rates[0]?.rate).to.be.closeTo(whole.report.rates[0]?.rate as number, 1e-6);
  });

  it('reports loss, terms and gradient norms that are known, and leaves what has no gradient alone', async () => {
    const task = linearTask(3, 4);
    const { report } = await trainStep(task, { batches: [windows], state: initAdam(task.parameters) }, { ...options, hasTermNorms: true });
    expect(report.loss).to.be.closeTo(7.5, 1e-6);
    expect(report.terms).to.deep.equal({ hta: 3, sta: 4, ea: 0.5 });
    expect(report.gradNorm).to.be.closeTo(5, 1e-6);
    expect(report.gradNorms).to.deep.equal({ hta: 3, sta: 4, ea: 0 });
    expectClose(await (task.parameters.get('idle') as tf.Variable).data(), [5], { absolute: 0 });
    // Adam's first update is the learning rate against the sign of the gradient; 0.99 is above the bound.
    expectClose(await (task.parameters.get('w') as tf.Variable).data(), [0.99, 0.99], { absolute: 1e-5 });
  });

  it('keeps parameters at or above their lower bounds', async () => {
    const task = linearTask(1, 1);
    await trainStep(task, { batches: [windows], state: initAdam(task.parameters) }, { ...options, learningRate: 0.5 });
    expectClose(await (task.parameters.get('w') as tf.Variable).data(), [0.97, 0.97], { absolute: 1e-7 });
  });

  it('clips: the moments hold the scaled gradient (0.6, 0.8)·2·(1 − β₁)', async () => {
    const task = linearTask(3e30, 4e30);
    const { state } = await trainStep(task, { batches: [windows, windows], state: initAdam(task.parameters) }, { ...options, clipNorm: 2 });
    expectClose(await (state.mean.get('w') as tf.Tensor).data(), [0.12, 0.16], { absolute: 1e-6 });
  });

  it('changes nothing when the gradient or the loss is not finite, and names where', async () => {
    for (const bad of [NaN, Infinity]) {
      const task = linearTask(1, bad);
      const before = initAdam(task.parameters);
      const { report, state } = await trainStep(task, { batches: [windows], state: before }, options);
      expect(report.isSkipped).to.equal(true);
      expect(report.nonFinite).to.deep.equal({ terms: ['sta'], tensors: ['w'] });
      expect(state).to.equal(before);
      for (const moments of [before.mean, before.square]) expectClose(await (moments.get('w') as tf.Variable).data(), [0, 0], { absolute: 0 });
      expectClose(await (task.parameters.get('w') as tf.Variable).data(), [1, 1], { absolute: 0 });
    }
  });

  it('leaves no tensor behind, whether it updates or skips', async () => {
    let factor = 1;
    const task = createTinyTask({ spoil: ({ total, ...rest }) => ({ total: tf.mul(total, factor), ...rest }) });
    let state = initAdam(task.parameters);
    const count = tf.memory().numTensors;
    for (const hasTermNorms of [false, true, false]) {
      const { report, ...next } = await trainStep(task, { batches: [windows, windows], state }, { ...options, hasTermNorms });
      state = next.state;
      expect(report.isSkipped).to.equal(Number.isNaN(factor));
      expect(tf.memory().numTensors).to.equal(count);
      if (hasTermNorms) factor = NaN;
    }
  });
});
