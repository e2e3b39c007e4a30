import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

import { expect } from 'chai';

import type { TeacherConfig } from '../../../src/core/config/schema.js';
import { teacherConfigSchema } from '../../../src/core/config/schema.js';
import { Interrupted, NothingLearnedError, UsageError } from '../../../src/core/errors.js';
import { trainTeacher } from '../../../src/core/pipeline/train-teacher.js';
import { trainingThreads } from '../../../src/core/pipeline/training-threads.js';
import type { ProgressEvent } from '../../../src/core/types.js';
import { rejection } from '../../support/rejection.js';
import { withTempFolder } from '../../support/temp-folder.js';

const CORES = availableParallelism();

describe('trainingThreads', () => {
  it('one for every micro-batch as far as there are cores, and one where threads are of no use', () => {
    expect(trainingThreads(null, { backend: 'wasm', accumulate: 1, hasProfile: false })).to.equal(1);
    expect(trainingThreads(null, { backend: 'wasm', accumulate: 64, hasProfile: false })).to.equal(Math.min(CORES, 8));
    expect(trainingThreads(null, { backend: 'cpu', accumulate: 2, hasProfile: false })).to.equal(Math.min(CORES, 2));
    expect(trainingThreads(null, { backend: 'webgpu', accumulate: 4, hasProfile: false })).to.equal(1);
    expect(trainingThreads(null, { backend: 'wasm', accumulate: 4, hasProfile: true })).to.equal(1);
    expect(trainingThreads(1, { backend: 'webgpu', accumulate: 4, hasProfile: true })).to.equal(1);
  });

  it('takes what is asked for, also when a step has fewer micro-batches', function () {
    if (CORES < 2) this.skip();
    expect(trainingThreads(2, { backend: 'wasm', accumulate: 1, hasProfile: false })).to.equal(2);
  });

  it('refuses more than there are cores, and several on a GPU or for a profile', function () {
    const use = { backend: 'wasm', accumulate: 2, hasProfile: false } as const;
    const errorOf = (wanted: number, change: Partial<Parameters<typeof trainingThreads>[1]>): UsageError => {
      try {
        trainingThreads(wanted, { ...use, ...change });
      } catch (error) {
        expect(error).to.be.instanceOf(UsageError);
        return error as UsageError;
      }
      throw new Error('nothing was thrown');
    };
    const many = errorOf(CORES + 1, {});
    expect(many.message).to.contain(`${CORES + 1} threads were asked for`);
    expect(many.suggestions).to.deep.equal([`--threads ${CORES}`]);
    if (CORES < 2) this.skip();
    expect(errorOf(2, { backend: 'webgpu' }).message).to.equal('--threads 2 is for training on wasm or cpu; this run computes on webgpu');
    expect(errorOf(2, { hasProfile: true }).message).to.contain('--profile measures one thread');
  });
});

const configOf = (run: string): TeacherConfig => teacherConfigSchema.parse({
  run, backend: 'wasm', corpus: { kind: 'stories', stories: { count: 50 } }, tokenizer: { vocabSize: 300 },
  model: { hiddenSize: 16, layers: 1, heads: 2, feedForwardSize: 32, contextLength: 16 },
  train: { steps: 6, batch: 2, accumulate: 3, context: 16, warmupSteps: 2, learningRate: 0.03, validateEvery: 3, validateWindows: 20, checkpointEvery: 3 },
});

/** What a run leaves that must not depend on the threads. */
async function filesOf(run: string): Promise<unknown[]> {
  const checkpoint = join(run, 'checkpoints', 'step-000006');
  const lines = (await readFile(join(run, 'metrics.jsonl'), 'utf8')).trim().split('\n').map((line) => ({ ...JSON.parse(line), tokensPerSecond: 0 }));
  return [lines, ...await Promise.all(['model.safetensors', 'optimizer.safetensors'].map((name) => readFile(join(checkpoint, name))))];
}

describe('train-teacher with threads', () => {
  it('ends in the same files for one thread, for two, and for two that are interrupted and resumed by one', async function () {
    if (CORES < 2) this.skip();
    await withTempFolder(async (folder) => {
      const start = (name: string, threads: number, onProgress: (event: ProgressEvent, stop: () => void) => void = () => undefined): ReturnType<typeof trainTeacher> => {
        const controller = new AbortController();
        const reporter = { notice: () => undefined, progress: (event: ProgressEvent) => onProgress(event, () => controller.abort()) };
        return trainTeacher({ config: configOf(join(folder, name)), threads }, { reporter, signal: controller.signal });
      };
      // Six steps teach nothing, which a run says once its files are written.
      await rejection(start('one', 1), NothingLearnedError);
      await rejection(start('two', 2), NothingLearnedError);
      const stopped = start('resumed', 2, ({ phase, done }, stop) => { if (phase === 'train teacher' && done === 2) stop(); });
      expect((await rejection(stopped, Interrupted)).message).to.contain('stopped after step 2 of 6');
      await rejection(start('resumed', 1), NothingLearnedError);
      const expected = await filesOf(join(folder, 'one'));
      expect(await filesOf(join(folder, 'two'))).to.deep.equal(expected);
      expect(await filesOf(join(folder, 'resumed'))).to.deep.equal(expected);
    });
  });
});
