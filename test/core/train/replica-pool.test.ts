import { writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import type { BackendChoice } from '../../../src/core/backend/select.js';
import type { DistillConfig } from '../../../src/core/config/schema.js';
import { distillConfigSchema } from '../../../src/core/config/schema.js';
import { teacherFolder } from '../../../src/core/config/shipped.js';
import type { TokenBatch } from '../../../src/core/corpus/batches.js';
import { createBatches } from '../../../src/core/corpus/batches.js';
import { createRandom } from '../../../src/core/corpus/random.js';
import { BackendError, ShapeError } from '../../../src/core/errors.js';
import { createDistillation } from '../../../src/core/pipeline/distillation.js';
import { prepareBackend } from '../../../src/core/pipeline/prepare-backend.js';
import { openRunner } from '../../../src/core/pipeline/training-threads.js';
import { threadTeacher } from '../../../src/core/pipeline/run-teacher.js';
import { loadTeacher } from '../../../src/core/teacher/weights.js';
import { initAdam } from '../../../src/core/train/optimizer.js';
import type { PassRunner } from '../../../src/core/train/passes.js';
import { soloRunner, tensorsOf } from '../../../src/core/train/passes.js';
import { startReplicas } from '../../../src/core/train/replica-pool.js';
import type { StepReport } from '../../../src/core/train/step.js';
import { trainStep } from '../../../src/core/train/step.js';
import { storeMoments, storeParameters } from '../../../src/core/train/stored-tensors.js';
import type { TrainingTask } from '../../../src/core/train/task.js';
import { silentReporter } from '../../../src/core/types.js';
import { rejection } from '../../support/rejection.js';
import { withTempFolder } from '../../support/temp-folder.js';
import { createTinyTask } from '../../support/tiny-task.js';

const CONTEXT = 9;
const config: DistillConfig = distillConfigSchema.parse({
  run: 'unused', teacher: 'builtin:stories', backend: 'wasm', train: { batch: 2, context: CONTEXT, accumulate: 3, steps: 3, warmupSteps: 0 },
});

/** The built-in teacher under a student of seeded weights that fires. */
async function makeTask(): Promise<TrainingTask> {
  const teacher = threadTeacher(config, await loadTeacher(teacherFolder(config.teacher)));
  const ctx = { reporter: silentReporter, signal: new AbortController().signal };
  const task = await createDistillation({ config, teacher, trainTokens: new Int32Array(0), ctx, exportStudent: () => Promise.resolve() }, true);
  const random = createRandom(5);
  for (const [name, variable] of task.parameters) {
    const centre = name.endsWith('.gain') ? 1 : 0.05;
    variable.assign(tf.tensor(Float32Array.from({ length: variable.size }, () => centre + 0.3 * random.normal()), variable.shape));
  }
  return task;
}

function seededTokens(count: number): Int32Array {
  const random = createRandom(8);
  return Int32Array.from({ length: count }, () => random.integer(1000));
}

/** Everything that three steps say and leave behind. */
async function afterSteps(runner: PassRunner, accumulate: number): Promise<{ reports: StepReport[]; numbers: Float32Array[] }> {
  const task = await makeTask();
  const batches = createBatches(seededTokens(400), { batch: 2, context: CONTEXT, seed: 1 });
  const reports: StepReport[] = [];
  let state = initAdam(task.parameters);
  for (let step = 0; step < 3; step++) {
    const next = await trainStep(task, { batches: Array.from({ length: accumulate }, () => batches.next()), state }, {
      adam: config.train, learningRate: 0.01, clipNorm: 1, hasTermNorms: step === 1, runner,
    });
    reports.push(next.report);
    ({ state } = next);
  }
  const stored = [...await storeParameters(task), ...await storeMoments(state)];
  task.dispose();
  return { reports, numbers: stored.map(({ values }) => values as Float32Array) };
}

describe('training threads (wasm)', () => {
  let backend: BackendChoice;
  let two: PassRunner;
  let task: TrainingTask;
  before(async function () {
    if (availableParallelism() < 2) this.skip();
    backend = await prepareBackend('wasm');
    task = await makeTask();
    two = openRunner(task, { threads: 2, plan: { kind: 'distill', backend: 'wasm', config }, backend, reporter: silentReporter });
  });
  after(async () => { await two?.dispose(); });

  for (const accumulate of [1, 2, 3]) {
    it(`${accumulate} micro-batches: parameters, moments and reports of three steps are those of one thread, bit for bit`, async () => {
      const [alone, together] = [await afterSteps(soloRunner, accumulate), await afterSteps(two, accumulate)];
      expect(together.reports).to.deep.equal(alone.reports);
      expect(alone.reports.every(({ isSkipped, loss, rates }) => !isSkipped && loss > 0 && rates.some(({ rate }) => rate > 0.01))).to.equal(true);
      expect(together.numbers).to.deep.equal(alone.numbers);
    });
  }

  it('validates 19 windows to the same bits, and each group of 8 counts by its windows', async () => {
    const windows = Array.from({ length: 19 }, (_, i) => seededTokens(400).subarray(i * CONTEXT, (i + 1) * CONTEXT + 1));
    const nll = await soloRunner.validNll(task, windows);
    expect(await two.validNll(task, windows)).to.equal(nll);
    const singles = [];
    for (const window of windows) singles.push(await task.validNll([window]));
    expect(nll).to.be.closeTo(singles.reduce((sum, one) => sum + one, 0) / 19, 1e-5);
  });

  it('leaves no tensor behind', async () => {
    const batches = createBatches(seededTokens(400), { batch: 2, context: CONTEXT, seed: 1 });
    const before = tf.memory().numTensors;
    await two.run(task, [batches.next(), batches.next()], ({ gradients, losses }) => {
      tf.dispose([...gradients.values(), ...tensorsOf(losses)]);
    });
    expect(tf.memory().numTensors).to.equal(before);
  });

  it('an error of the task in another thread ends the step with its class and words, and every later one', async () => {
    const good = createBatches(seededTokens(400), { batch: 2, context: CONTEXT, seed: 1 }).next();
    const bad: TokenBatch = { tokens: new Int32Array(CONTEXT), starts: new Int32Array(1) };
    const runner = openRunner(task, { threads: 2, plan: { kind: 'distill', backend: 'wasm', config }, backend, reporter: silentReporter });
    for (const batches of [[good, bad], [good, good]]) {
      const error = await rejection(runner.run(task, batches, () => undefined), ShapeError);
      expect(error.message).to.contain(`a batch of ${CONTEXT} tokens is no whole number of windows`);
    }
    await runner.dispose();
  });
});

describe('training threads that fail', () => {
  const batch: TokenBatch = { tokens: new Int32Array(7), starts: new Int32Array(1) };
  before(() => prepareBackend('cpu'));

  /** The error of a step whose second thread runs this JavaScript. */
  const errorWith = (script: string): Promise<BackendError> => withTempFolder(async (folder) => {
    const entry = join(folder, 'entry.mjs');
    await writeFile(entry, script);
    const task = createTinyTask();
    const runner = startReplicas(task, { entry: pathToFileURL(entry), plan: null, threads: 2, device: 'here' });
    const error = await rejection(runner.run(task, [batch, batch], () => undefined), BackendError);
    await runner.dispose();
    return error;
  });
  const READY = "import { parentPort } from 'node:worker_threads'; const ready = (device, parameters) => parentPort.postMessage({ kind: 'ready', device, parameters });";
  const PARAMETERS = JSON.stringify(['embed [7, 5]', 'out.weight [5, 7]', 'out.bias [7]']);

  it('does not start: the cause is told, and what to do', async () => {
    const error = await errorWith("throw new Error('no such teacher')");
    expect(error.message).to.equal('a training thread failed: no such teacher');
    expect(error.suggestions).to.deep.equal(['--threads 1']);
  });

  it('ends while it should compute', async () => {
    const error = await errorWith(`${READY} ready('here', ${PARAMETERS}); parentPort.on('message', () => process.exit(3));`);
    expect(error.message).to.equal('a training thread ended by itself with code 3');
  });

  it('computes with other kernels', async () => {
    const error = await errorWith(`${READY} ready('elsewhere', ${PARAMETERS}); setInterval(() => undefined, 1000);`);
    expect(error.message).to.equal('a training thread computes on elsewhere, not on here');
  });
});
