import { readdir } from 'node:fs/promises';

import { expect } from 'chai';

import { countTraffic } from '../../../bench/support/kernel-traffic.js';
import { openTeacherStep } from '../../../bench/support/teacher-step.js';
import type { TeacherConfig } from '../../../src/core/config/schema.js';
import { teacherConfigSchema } from '../../../src/core/config/schema.js';
import type { BackendChoice } from '../../../src/core/backend/select.js';
import { estimateTeacherMemory, teacherSizes } from '../../../src/core/distill/teacher-memory.js';
import { BackendError } from '../../../src/core/errors.js';
import { planTeacherMemory } from '../../../src/core/pipeline/plan-memory.js';
import { prepareBackend } from '../../../src/core/pipeline/prepare-backend.js';
import { trainTeacher } from '../../../src/core/pipeline/train-teacher.js';
import { silentReporter } from '../../../src/core/types.js';
import { rejection } from '../../support/rejection.js';
import { withTempFolder } from '../../support/temp-folder.js';

type Model = readonly [D: number, layers: number, heads: number, F: number];

function configOf([hiddenSize, layers, heads, feedForwardSize]: Model, train: Record<string, unknown>, run = 'r'): TeacherConfig {
  return teacherConfigSchema.parse({
    run, backend: 'wasm', corpus: { kind: 'stories', stories: { count: 20 } }, tokenizer: { vocabSize: 300 }, model: { hiddenSize, layers, heads, feedForwardSize, contextLength: 256 }, train,
  });
}

describe('memory of a step that trains a teacher [wasm]', () => {
  let backend: BackendChoice;
  before(async () => { backend = await prepareBackend('wasm'); });

  const cases: readonly (readonly [title: string, V: number, model: Model, train: Record<string, unknown>])[] = [
    ['maps', 97, [48, 4, 4, 128], { batch: 6, context: 100 }],
    ['wide', 300, [96, 5, 2, 384], { batch: 12, context: 32 }],
    ['a large vocabulary', 4000, [32, 3, 2, 128], { batch: 9, context: 50 }],
    ['shallow and long', 150, [40, 2, 5, 80], { batch: 4, context: 128 }],
    ['micro-batches', 200, [64, 4, 2, 200], { batch: 10, context: 40, accumulate: 3 }],
    ['a small batch: validation or the update', 1000, [64, 3, 2, 256], { batch: 1, context: 24 }],
  ];
  for (const [title, V, model, train] of cases) {
    it(`is predicted within 10 %: ${title}`, async () => {
      for (const recompute of ['none', 'blocks']) {
        const config = configOf(model, { ...train, recompute });
        const training = openTeacherStep(config, V);
        const { peakBytes: counted } = await countTraffic(async () => {
          await training.step();
          await training.validate();
        }, training.tensors());
        const predicted = estimateTeacherMemory(teacherSizes(config, training.model)).peakBytes;
        training.dispose();
        expect(predicted / counted, `${recompute}: ${predicted} predicted, ${counted} counted`).to.be.within(0.9, 1.1);
      }
    });
  }

  it('decides whether layers are recomputed, and says the estimate', () => {
    const notices: string[] = [];
    const plan = (train: Record<string, unknown>): string => {
      const config = configOf([64, 12, 4, 256], { batch: 32, context: 128, ...train });
      return planTeacherMemory(config, 500, { backend, reporter: { ...silentReporter, notice: (text) => { notices.push(text); } } }).config.train.recompute;
    };
    expect(plan({})).to.equal('none');
    expect(plan({ memoryLimit: 0.3 })).to.equal('blocks');
    expect(notices[1]).to.match(/^Memory: about \d+ MB at its peak \(.*\): .*; blocks are computed again in the backward pass$/);
    expect(() => plan({ memoryLimit: 0.3, recompute: 'none' })).to.throw(BackendError, 'train.memoryLimit is 300 MB');
  });

  it('a run that cannot fit is refused before its folder is made, naming the keys that would help', () => withTempFolder(async (folder) => {
    const config = configOf([32, 2, 2, 64], { batch: 64, context: 64, memoryLimit: 0.01 }, `${folder}/run`);
    const error = await rejection(trainTeacher({ config, threads: 1 }, { reporter: silentReporter, signal: new AbortController().signal }), BackendError);
    expect(error.exitCode).to.equal(6);
    expect(error.message).to.include('train.memoryLimit is 10 MB');
    const [, batch, accumulate] = /^--set train\.batch=(\d+) --set train\.accumulate=(\d+) /.exec(error.suggestions[0] ?? '') ?? [];
    expect(Number(batch) * Number(accumulate)).to.be.at.least(64);
    expect(await readdir(folder)).to.deep.equal([]);
    const smaller = await rejection(trainTeacher({ config: { ...config, train: { ...config.train, memoryLimit: 0.0001 } }, threads: 1 }, { reporter: silentReporter, signal: new AbortController().signal }), BackendError);
    expect(smaller.suggestions[0]).to.equal('a smaller teacher (model.layers, model.hiddenSize)');
  }));
});
