import { readdir } from 'node:fs/promises';

import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { loadDistillConfig } from '../../../src/core/config/load.js';
import type { DistillConfig } from '../../../src/core/config/schema.js';
import { distillConfigSchema } from '../../../src/core/config/schema.js';
import { shippedConfigsFolder, teacherFolder } from '../../../src/core/config/shipped.js';
import { createRandom } from '../../../src/core/corpus/random.js';
import type { StartSizes } from '../../../src/core/distill/start-memory.js';
import { estimateStart } from '../../../src/core/distill/start-memory.js';
import { backendMemory, stepSizes } from '../../../src/core/distill/step-sizes.js';
import { studentConfigOf } from '../../../src/core/distill/student-config.js';
import { BackendError } from '../../../src/core/errors.js';
import { distill } from '../../../src/core/pipeline/distill.js';
import { planMemory } from '../../../src/core/pipeline/plan-memory.js';
import { prepareBackend } from '../../../src/core/pipeline/prepare-backend.js';
import { startStudent } from '../../../src/core/student/start.js';
import { initTeacher } from '../../../src/core/teacher/init.js';
import { loadTeacher } from '../../../src/core/teacher/weights.js';
import { silentReporter } from '../../../src/core/types.js';
import { rejection } from '../../support/rejection.js';
import { withTempFolder } from '../../support/temp-folder.js';

interface Shape { readonly V: number; readonly D: number; readonly layers: number; readonly H: number; readonly L: number }

/** Counts the bytes of all values that the backend holds from now on; those that tensors share count once. */
function watchValues(): { peakBytes(): number; stop(): void } {
  const backend = tf.backend() as unknown as { write(values: unknown, shape: number[], dtype: tf.DataType): object; refCount(dataId: object): number };
  const live = new Map<object, number>();
  const write = backend.write.bind(backend);
  let most = 0;
  backend.write = (values, shape, dtype) => {
    const dataId = write(values, shape, dtype);
    for (const id of live.keys()) if (backend.refCount(id) === 0) live.delete(id);
    live.set(dataId, tf.util.sizeFromShape(shape) * tf.util.bytesPerElement(dtype));
    most = Math.max(most, [...live.values()].reduce((sum, bytes) => sum + bytes, 0));
    return dataId;
  };
  return { peakBytes: () => most, stop: () => { backend.write = write; } };
}

/** Most bytes of tensors during a start, the teacher's included, and what was predicted. */
async function peaks({ V, D, layers, H, L }: Shape, student: Record<string, unknown>, { sequences, atOnce }: { sequences: number; atOnce: number }) {
  const config: DistillConfig = distillConfigSchema.parse({ run: 'r', teacher: 't', student, train: { context: L }, calibration: { sequences } });
  const random = createRandom(1);
  const before = tf.memory().numTensors;
  const watch = watchValues();
  const teacher = initTeacher({ vocabSize: V, hiddenSize: D, layers, heads: H, feedForwardSize: 4 * D, contextLength: L, bosId: null, eosId: null, padId: null }, random);
  const ids = tf.tensor2d(Int32Array.from({ length: sequences * L }, () => random.integer(V)), [sequences, L], 'int32');
  const { init, embeddings } = config.student;
  const { ridge, entryRate, unitRate, attentionDensity } = config.calibration;
  const started = await startStudent({ config: studentConfigOf(config, teacher.config), init, embeddings, teacher, ids, calibration: { ridge, entryRate, unitRate, attentionDensity }, random, atOnce });
  watch.stop();
  const sizes = stepSizes(config, teacher.config, backendMemory());
  const { peakBytes: predicted, moment } = estimateStart(sizes, { ...(sizes.start as StartSizes), atOnce });
  tf.dispose([ids, ...started.values(), ...teacher.parameters.values()]);
  expect(tf.memory().numTensors).to.equal(before);
  return { counted: watch.peakBytes(), predicted, moment };
}

it('a start that cannot fit is refused before the run’s folder is made, naming calibration.sequences; with the value named it is not', () => withTempFolder(async (folder) => {
  const load = (...set: string[]): Promise<DistillConfig> => loadDistillConfig({ file: `${shippedConfigsFolder()}/distill/stories.yaml`, overrides: ['backend=wasm', `run=${folder}/run`, 'train.memoryLimit=0.06', 'corpus.stories.count=300', ...set] });
  const ctx = { reporter: silentReporter, signal: AbortSignal.abort() };
  const error = await rejection(distill({ config: await load(), profile: false, threads: 1 }, ctx), BackendError);
  expect(error.exitCode).to.equal(6);
  expect(error.message).to.include('the start of the student').and.include('train.memoryLimit is 60 MB');
  const [, setting = ''] = /^--set (calibration\.sequences=\d+) \(/.exec(error.suggestions[0] ?? '') ?? [];
  expect(await readdir(folder)).to.deep.equal([]);
  const notices: string[] = [];
  const backend = await prepareBackend('wasm');
  planMemory(await load(setting), (await loadTeacher(teacherFolder('builtin:stories'))).config, { backend, reporter: { ...silentReporter, notice: (text) => { notices.push(text); } } });
  expect(notices[0]).to.match(/^Memory: about \d+ MB/);
  // A run that goes on from a checkpoint has no start any more.
  const plan = planMemory(await load(), (await loadTeacher(teacherFolder('builtin:stories'))).config, { backend, reporter: silentReporter, hasStart: false });
  expect(plan.config.train.recompute).to.equal('none');
}));

describe('memory of the start of a student [wasm]', () => {
  before(() => prepareBackend('wasm'));

  const cases: readonly (readonly [title: string, shape: Shape, student: Record<string, unknown>])[] = [
    ['practical, T 2', { V: 300, D: 64, layers: 2, H: 4, L: 32 }, {}],
    ['a long context', { V: 60, D: 24, layers: 2, H: 2, L: 128 }, { timeSteps: 4 }],
    ['wide, no pairs', { V: 97, D: 96, layers: 2, H: 2, L: 16 }, { timeSteps: 2, onOff: false }],
    ['a large vocabulary, copied', { V: 3000, D: 32, layers: 2, H: 2, L: 40 }, { timeSteps: 3, init: 'copy' }],
    ['random, spikes written', { V: 200, D: 48, layers: 3, H: 3, L: 48 }, { timeSteps: 2, init: 'random', residualWrite: 'spike', relativeBias: false }],
  ];
  for (const [title, shape, student] of cases) {
    for (const [how, sequences, atOnce] of [['one group', 16, 2 ** 25], ['groups', 24, 100_000]] as const) {
      it(`is predicted within 15 %: ${title}, ${how}`, async () => {
        const { counted, predicted, moment } = await peaks(shape, student, { sequences, atOnce });
        expect(predicted / counted, `${predicted} predicted, ${counted} counted; ${moment}`).to.be.within(0.87, 1.13);
      });
    }
  }
});
