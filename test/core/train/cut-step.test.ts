import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { distillConfigSchema } from '../../../src/core/config/schema.js';
import { createRandom } from '../../../src/core/corpus/random.js';
import { createProjections } from '../../../src/core/distill/projections.js';
import { spadTerms } from '../../../src/core/distill/spad.js';
import { liveSource } from '../../../src/core/distill/teacher-source.js';
import { createDistillTask } from '../../../src/core/distill/training-task.js';
import { initAdam } from '../../../src/core/train/optimizer.js';
import { soloRunner } from '../../../src/core/train/passes.js';
import { trainStep } from '../../../src/core/train/step.js';
import { describeOnWebGpu } from '../../support/backends.js';
import { withBindingLimit } from '../../support/binding-limit.js';
import { TINY_STUDENT, tinyStudentParameters, tinyTeacher } from '../../support/tiny-models.js';

const VOCABULARY = 701;
const STUDENT = { ...TINY_STUDENT, vocabSize: VOCABULARY, layers: 1, feedForwardSize: 32, neuron: { ...TINY_STUDENT.neuron, timeSteps: 2 } };
const [BATCH, CONTEXT] = [8, 11];
/** One segment of a sum; less than the embedding (22,432 bytes), the logits (246,752) and currents and spikes of qkv (16,896) and of the feed-forward neurons (22,528) take. */
const LIMIT = 16_384;
const batch = (seed: number) => {
  const random = createRandom(seed);
  return { tokens: Int32Array.from({ length: BATCH * (CONTEXT + 1) }, () => random.integer(VOCABULARY)), starts: new Int32Array(BATCH) };
};

/** Loss, norm and rates of a step of two micro-batches, all parameters and moments after it, and a validation loss. */
async function oneStep(): Promise<Record<string, number[]>> {
  const teacher = tinyTeacher({ vocabSize: VOCABULARY });
  const { distill } = distillConfigSchema.parse({ run: 'r', teacher: 't', distill: { attentionForm: 'row-normalised' } });
  const projections = createProjections({ student: STUDENT.hiddenSize, teacher: 8 }, distill.featureForm, createRandom(2));
  const task = createDistillTask({
    config: STUDENT, source: liveSource(teacher), context: CONTEXT, checkBinary: false, recompute: true,
    initial: new Map([...tinyStudentParameters(STUDENT), ...projections.parameters]),
    terms: (parameters) => spadTerms({ settings: distill, student: STUDENT, teacher: teacher.config, projections }, parameters),
    exportStudent: async () => undefined,
  });
  const options = { adam: { beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weightDecay: 0.1 }, learningRate: 0.01, clipNorm: 1, hasTermNorms: false, runner: soloRunner };
  const { report, state } = await trainStep(task, { batches: [batch(0), batch(1)], state: initAdam(task.parameters) }, options);
  expect(report.isSkipped).to.equal(false);
  const found: Record<string, number[]> = { report: [report.loss, report.gradNorm, ...report.rates.map(({ rate }) => rate)] };
  for (const [name, tensor] of task.parameters) found[name] = [...await tensor.data()];
  for (const [name, tensor] of state.mean) found[`mean of ${name}`] = [...await tensor.data()];
  found['validation'] = [await task.validNll([batch(9).tokens.slice(0, CONTEXT + 1)])];
  task.dispose();
  tf.dispose([...teacher.parameters.values(), ...state.mean.values(), ...state.square.values()]);
  return found;
}

describeOnWebGpu('distillation where embedding and activations are larger than a binding may be', () => {
  it('gives the same losses, rates, weights and moments, bit for bit', async () => {
    const whole = await oneStep();
    for (const number of whole['report']!) expect(number).to.be.above(0);
    expect(await withBindingLimit(LIMIT, oneStep)).to.deep.equal(whole);
  });
});
