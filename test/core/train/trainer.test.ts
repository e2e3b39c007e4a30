import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, readdir, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import type { TrainSettings } from '../../../src/core/config/schema.js';
import { ConfigError, FormatError, Interrupted, NothingLearnedError, NumericError } from '../../../src/core/errors.js';
import { prepareBackend } from '../../../src/core/pipeline/prepare-backend.js';
import type { TrainOptions } from '../../../src/core/train/options.js';
import { requireLearned } from '../../../src/core/train/report.js';
import type { TrainReport } from '../../../src/core/train/report.js';
import { trainModel } from '../../../src/core/train/trainer.js';
import type { ProgressEvent, RunContext } from '../../../src/core/types.js';
import { describeOnBackends } from '../../support/backends.js';
import { rejection } from '../../support/rejection.js';
import { withTempFolder } from '../../support/temp-folder.js';
import type { TinyTaskChanges } from '../../support/tiny-task.js';
import { createTinyTask, tinyOptions, tinySettings } from '../../support/tiny-task.js';

interface Listener { readonly ctx: RunContext; readonly notices: string[]; readonly events: ProgressEvent[] }

/** A context that records what it is told and aborts when a step is done. */
function listen(abortAfter = Infinity): Listener {
  const controller = new AbortController();
  const notices: string[] = [];
  const events: ProgressEvent[] = [];
  const progress = (event: ProgressEvent): void => {
    events.push(event);
    if (event.done === abortAfter) controller.abort();
  };
  return { ctx: { reporter: { progress, notice: (message) => { notices.push(message); } }, signal: controller.signal }, notices, events };
}

/** Trains the tiny task from its first weights in a process that knows nothing of earlier runs. */
async function train(options: TrainOptions, listener: Listener = listen(), changes: TinyTaskChanges = {}): Promise<TrainReport> {
  const task = createTinyTask(changes);
  try {
    return await trainModel(task, options, listener.ctx);
  } finally {
    task.dispose();
  }
}

const modelBytes = (folder: string): Promise<Buffer> => readFile(path.join(folder, 'student', 'model.safetensors'));
const checkpoints = async (folder: string): Promise<string[]> => (await readdir(path.join(folder, 'checkpoints'))).sort();
const lastWeights = (folder: string, step: string): Promise<Buffer[]> =>
  Promise.all(['model', 'optimizer'].map((name) => readFile(path.join(folder, 'checkpoints', step, `${name}.safetensors`))));
const metrics = async (folder: string): Promise<Record<string, unknown>[]> =>
  (await readFile(path.join(folder, 'metrics.jsonl'), 'utf8')).trimEnd().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
/** Speed is the one thing that may differ between two equal runs. */
const comparable = async (folder: string): Promise<unknown[]> => (await metrics(folder)).map((record) => ({ ...record, tokensPerSecond: 0 }));
const settingsOf = (changes: Partial<TrainSettings>): Pick<TrainOptions, 'settings'> => ({ settings: tinySettings(changes) });

describeOnBackends('train/trainer', () => {
  it('a run stopped by Ctrl-C and resumed ends with the same bits as one never interrupted', () => withTempFolder(async (root) => {
    const [whole, parted] = [path.join(root, 'whole'), path.join(root, 'parted')];
    const changes = settingsOf({ accumulate: 2, gradientNormsEvery: 8, weightDecay: 0.1 });
    const expected = await train(tinyOptions(whole, changes));
    const interrupted = await rejection(train(tinyOptions(parted, changes), listen(3)), Interrupted);
    expect(interrupted.exitCode).to.equal(130);
    expect(interrupted.message).to.include('step 3 of 10').and.include('step-000003');
    expect(interrupted.suggestions.join()).to.include(`bispik distill --resume ${parted}`);
    await rejection(train(tinyOptions(parted, { ...changes, isResumed: true }), listen(7)), Interrupted);
    const { elapsedMs: _elapsed, ...report } = await train(tinyOptions(parted, { ...changes, isResumed: true }));
    expect(report).to.deep.include({ steps: 10, tokens: 10 * 2 * 3 * 6, skippedSteps: 0, valid: expected.valid, best: expected.best, firingRate: expected.firingRate });
    expect(await lastWeights(parted, 'step-000010')).to.deep.equal(await lastWeights(whole, 'step-000010'));
    expect((await modelBytes(parted)).equals(await modelBytes(whole))).to.equal(true);
    expect(await comparable(parted)).to.deep.equal(await comparable(whole));
  }));
});

describe('train/trainer', () => {
  before(async () => { await prepareBackend('cpu'); });
  afterEach(() => { tf.engine().disposeVariables(); });

  it('learns, logs what the documentation promises and leaves no tensor behind', () => withTempFolder(async (folder) => {
    const task = createTinyTask();
    const before = tf.memory().numTensors;
    const listener = listen();
    const report = await trainModel(task, tinyOptions(folder, settingsOf({ steps: 60, validateEvery: 20, checkpointEvery: 20, logEvery: 10, gradientNormsEvery: 30 })), listener.ctx);
    expect(tf.memory().numTensors).to.equal(before);
    expect(report.hasLearned).to.equal(true);
    expect(report.valid.nll).to.be.below(0.9 * Math.log(7));
    expect(report.valid.perplexity).to.equal(Math.exp(report.valid.nll));
    const records = await metrics(folder);
    expect(records.map(({ step }) => step)).to.deep.equal([10, 20, 30, 40, 50, 60]);
    for (const record of records) {
      const { loss, hta, sta, firingRate, tokens, step } = record as Record<string, number>;
      expect((hta as number) + (sta as number)).to.be.closeTo(loss as number, 1e-5);
      expect(firingRate).to.be.within(0.1, 0.9);
      expect(tokens).to.equal((step as number) * 18);
      expect(record['valid'] !== undefined).to.equal((step as number) % 20 === 0);
      expect(Object.keys(record['gradNorms'] as object)).to.deep.equal((step as number) % 30 === 0 ? ['hta', 'sta'] : []);
    }
    expect(listener.events.at(-1)).to.deep.include({ phase: 'distil', done: 60, total: 60, unit: 'steps' });
    expect(listener.events.at(-1)?.values).to.have.keys('loss', 'valid', 'tokens/s', 'rate');
  }));

  it('keeps the best checkpoint, the last and one to fall back on, and ends with the best weights', () => withTempFolder(async (folder) => {
    const listener = listen();
    const nlls = [3, 1.5, 2, 2.5, 2.25];
    const task = { ...createTinyTask(), validNll: () => Promise.resolve(nlls.shift() as number) };
    const report = await trainModel(task, tinyOptions(folder, settingsOf({ validateEvery: 2, checkpointEvery: 2 })), listener.ctx);
    expect(report.best).to.deep.equal({ step: 4, nll: 1.5 });
    expect(report.valid.nll).to.equal(1.5);
    expect(await checkpoints(folder)).to.deep.equal(['step-000004', 'step-000008', 'step-000010']);
    expect((await modelBytes(folder)).equals((await lastWeights(folder, 'step-000004'))[0] as Buffer)).to.equal(true);
    const [exported] = [await readFile(path.join(folder, 'checkpoints', 'step-000004', 'model.safetensors'))];
    await task.exportModel(path.join(folder));
    expect((await readFile(path.join(folder, 'model.safetensors'))).equals(exported)).to.equal(true);
  }));

  it('measures the end on all windows where training validated on a few', () => withTempFolder(async (folder) => {
    const counts: number[] = [];
    const task = { ...createTinyTask(), validNll: (windows: readonly Int32Array[]) => Promise.resolve(1 / counts.push(windows.length)) };
    const report = await trainModel(task, tinyOptions(folder, settingsOf({ validateWindows: 4 })), listen().ctx);
    expect(counts).to.deep.equal([4, 4, 10]);
    expect(report).to.deep.include({ best: { step: 10, nll: 1 / 2 } });
    expect(report.valid.nll).to.equal(1 / 3);
  }));

  it('stops when it runs out of patience, and stays stopped when resumed', () => withTempFolder(async (folder) => {
    const nlls = [2, 1, 1, 1.1];
    const options = tinyOptions(folder, settingsOf({ validateEvery: 1, checkpointEvery: 100, patience: 2 }));
    const task = { ...createTinyTask(), validNll: () => Promise.resolve(nlls.shift() as number) };
    const report = await trainModel(task, options, listen().ctx);
    expect(report).to.deep.include({ steps: 4, best: { step: 2, nll: 1 }, isStoppedEarly: true });
    expect(await train({ ...tinyOptions(folder, settingsOf({ validateEvery: 1, checkpointEvery: 100, patience: 2 })), isResumed: true }))
      .to.deep.include({ steps: 4, best: { step: 2, nll: 1 } });
  }));

  it('skips a step that is not finite, says what was not, and goes on', () => withTempFolder(async (folder) => {
    const listener = listen();
    const report = await train(tinyOptions(folder), listener, {
      spoil: ({ total, terms, rates }, pass) => ({ total: tf.mul(total, pass === 4 ? NaN : 1), terms: { ...terms, sta: tf.mul(terms['sta'] as tf.Scalar, pass === 4 ? NaN : 1) }, rates }),
    });
    expect(report).to.deep.include({ steps: 10, skippedSteps: 1 });
    expect(listener.notices).to.have.length(1);
    expect(listener.notices[0]).to.include('step 4 skipped').and.include('loss terms sta').and.include('embed');
    expect((await metrics(folder)).map(({ loss }) => loss === null)).to.deep.equal([false, false, false, true, ...new Array<boolean>(6).fill(false)]);
  }));

  it('gives up after too many such steps in a row, naming step, tensors and the last good checkpoint', () => withTempFolder(async (folder) => {
    const error = await rejection(train(tinyOptions(folder, settingsOf({ maxSkippedInRow: 3 })), listen(), {
      spoil: ({ total, terms, rates }, pass) => ({ total: pass > 6 ? tf.mul(total, Infinity) : total, terms, rates }),
    }), NumericError);
    expect(error.exitCode).to.equal(7);
    expect(error.message).to.match(/^step 9: 3 steps in a row.*gradients of embed, out\.weight, out\.bias; last good checkpoint: .*step-000005$/);
    expect(error.suggestions.join()).to.include('train.learningRate');
  }));

  it('fails when the validation loss cannot be computed', () => withTempFolder(async (folder) => {
    const task = { ...createTinyTask(), validNll: () => Promise.resolve(NaN) };
    const error = await rejection(trainModel(task, tinyOptions(folder), listen().ctx), NumericError);
    expect(error.message).to.include('step 5: the validation loss is NaN').and.include('none yet');
  }));

  it('says that nothing was learned, after everything is written', () => withTempFolder(async (folder) => {
    const report = await train(tinyOptions(folder, { unigramNll: 0.01 }));
    expect(report.hasLearned).to.equal(false);
    let thrown: unknown;
    try {
      requireLearned(report, { unigramNll: 0.01, modelFolder: 'runs/x/student' });
    } catch (error) {
      thrown = error;
    }
    expect(thrown).to.be.instanceOf(NothingLearnedError);
    expect((thrown as NothingLearnedError).exitCode).to.equal(9);
    expect((thrown as NothingLearnedError).message).to.include('0.0100').and.include('runs/x/student');
    expect((await modelBytes(folder)).length).to.be.above(100);
  }));

  it('refuses to resume a run of another configuration, naming the keys', () => withTempFolder(async (folder) => {
    await rejection(train(tinyOptions(folder), listen(2)), Interrupted);
    const error = await rejection(train(tinyOptions(folder, { ...settingsOf({ learningRate: 0.01, clipNorm: 2 }), isResumed: true })), ConfigError);
    expect(error.exitCode).to.equal(3);
    expect(error.message).to.include('train.learningRate (checkpoint 0.05, now 0.01)').and.include('train.clipNorm').and.not.include('train.steps');
  }));

  it('refuses to start in the folder of another run', () => withTempFolder(async (folder) => {
    await rejection(train(tinyOptions(folder), listen(2)), Interrupted);
    const error = await rejection(train(tinyOptions(folder)), ConfigError);
    expect(error.message).to.include('already holds a run');
    expect(error.suggestions.join()).to.include('--resume');
  }));

  it('starts over when it is killed before its first checkpoint, and refuses when all are damaged', () => withTempFolder(async (folder) => {
    const listener = listen(5);
    await rejection(train(tinyOptions(folder, { isResumed: true }), listener), Interrupted);
    expect(listener.notices[0]).to.include('no checkpoint yet');
    await truncate(path.join(folder, 'checkpoints', 'step-000005', 'optimizer.safetensors'), 50);
    const error = await rejection(train(tinyOptions(folder, { isResumed: true })), FormatError);
    expect(error.message).to.include('none of them whole');
  }));

  it('falls back to the checkpoint before a damaged one, says so, and still ends in the same bits', () => withTempFolder(async (root) => {
    const [whole, damaged] = [path.join(root, 'whole'), path.join(root, 'damaged')];
    await train(tinyOptions(whole));
    await rejection(train(tinyOptions(damaged), listen(8)), Interrupted);
    const file = path.join(damaged, 'checkpoints', 'step-000008', 'model.safetensors');
    const bytes = await readFile(file);
    bytes[bytes.length - 3] = (bytes[bytes.length - 3] as number) ^ 1;
    await writeFile(file, bytes);
    const listener = listen();
    await train(tinyOptions(damaged, { isResumed: true }), listener);
    expect(listener.notices[0]).to.include('step-000008 cannot be used').and.include('SHA-256');
    expect(listener.notices[1]).to.include('resuming from step-000005');
    expect(await lastWeights(damaged, 'step-000010')).to.deep.equal(await lastWeights(whole, 'step-000010'));
    expect(await comparable(damaged)).to.deep.equal(await comparable(whole));
  }));

  for (const file of ['model.safetensors', 'state.json']) {
    it(`kill -9 after ${file} of a checkpoint was written: resume continues from the last good one, to the same bits`, () => withTempFolder(async (root) => {
      const [whole, killed] = [path.join(root, 'whole'), path.join(root, 'killed')];
      await train(tinyOptions(whole));
      const script = fileURLToPath(new URL('../../support/killed-while-saving.ts', import.meta.url));
      const child = spawn(process.execPath, ['--import', 'tsx', script, killed, file], { stdio: ['ignore', 'pipe', 'inherit'] });
      await once(child.stdout, 'data');
      child.kill('SIGKILL');
      expect(await once(child, 'exit')).to.deep.equal([null, 'SIGKILL']);
      expect((await checkpoints(killed)).some((name) => /^step-000007\..*incomplete$/.test(name))).to.equal(true);
      const listener = listen();
      await train({ ...tinyOptions(killed), isResumed: true, identity: tinyOptions(killed).identity }, listener);
      expect(listener.notices).to.deep.equal(['resuming from step-000005: step 5 of 10']);
      expect(await checkpoints(killed)).to.deep.equal(await checkpoints(whole));
      expect(await lastWeights(killed, 'step-000010')).to.deep.equal(await lastWeights(whole, 'step-000010'));
      expect((await modelBytes(killed)).equals(await modelBytes(whole))).to.equal(true);
    })).timeout(60_000);
  }
});
