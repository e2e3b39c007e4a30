import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { createRandom } from '../../../src/core/corpus/random.js';
import { prepareBackend } from '../../../src/core/pipeline/prepare-backend.js';
import type { LinearTarget } from '../../../src/core/student/linear-start.js';
import { linearStart } from '../../../src/core/student/linear-start.js';
import type { RidgeFit } from '../../../src/core/student/ridge.js';
import type { BlockStart } from '../../../src/core/student/block-start.js';
import type { Groups } from '../../../src/core/student/groups.js';
import { oneGroup } from '../../../src/core/student/groups.js';
import type { TeacherLayerTrace } from '../../../src/core/teacher/forward.js';
import { expectClose } from '../../support/backends.js';
import { TINY_STUDENT, tinyIds, tinyTeacher } from '../../support/tiny-models.js';

/** One input over T = 2: mean rates 0, ½, ½, 1 over four tokens, of standard deviation √⅛. */
const SPIKES = [0, 0, 1, 1, 0, 1, 0, 1];
const RATES = [0, 0.5, 0.5, 1];
const RATE_STD = Math.sqrt(1 / 8);
const noWindows = { count: 1, length: 4, tokens: 4, batch: () => 1, ids: () => tinyIds(1, 4) };
const traced = (trace: TeacherLayerTrace) => ({ values: (_: number, names: readonly (keyof TeacherLayerTrace)[]) => names.map((name) => tf.clone(trace[name])), dispose: () => undefined });
const column = (f: (rate: number) => number): tf.Tensor2D => tf.tensor2d(RATES.map(f), [4, 1]);

async function start(init: BlockStart['init'], { missing, ...target }: Omit<LinearTarget, 'missing'> & { missing?: tf.Tensor2D | null }): Promise<RidgeFit> {
  const teacherLayer: TeacherLayerTrace = { query: column((x) => 3 * x), key: column((x) => 4 - x), value: column((x) => 5 * x), hidden: column((x) => -2 * x), attended: column(() => 0), output: column(() => 0) };
  const config = { ...TINY_STUDENT, hiddenSize: 1, feedForwardSize: 1 };
  return linearStart(oneGroup(tf.tensor3d(SPIKES, [2, 4, 1])), { ...target, missing: missing == null ? null : oneGroup(missing) as Groups<tf.Rank.R2> }, {
    config, init, embeddings: 'teacher', teacher: tinyTeacher(), ids: tinyIds(1, 4), random: createRandom(8), parameters: new Map(), layer: 0, teacherLayer: traced(teacherLayer), windows: noWindows, atOnce: 2 ** 20,
    calibration: { ridge: 1e-7, entryRate: 0.12, unitRate: 0.15, attentionDensity: 0.1 },
  });
}

describe('first value of a matrix', () => {
  before(async () => { await prepareBackend('wasm'); });

  it('ridge: query, key and value follow the teacher’s, each scaled to a current of the wanted spread', async () => {
    const { weight, bias } = await start('ridge', { name: 'qkv', currentStd: 0.7 });
    expectClose(weight, [0.7 / RATE_STD, -0.7 / RATE_STD, 0.7 / RATE_STD], { absolute: 1e-4 });
    expectClose(bias, [0, 0, 0], { absolute: 0 });
  });

  it('ridge: fc1 likewise', async () => {
    expectClose((await start('ridge', { name: 'fc1', currentStd: 0.7 })).weight, [-0.7 / RATE_STD], { absolute: 1e-4 });
  });

  for (const name of ['out', 'fc2'] as const) {
    it(`ridge: ${name} writes what the stream lacks, 2·rate + 1, and is not scaled`, async () => {
      const { weight, bias } = await start('ridge', { name, currentStd: 0.7, missing: column((x) => 2 * x + 1) });
      expectClose(weight, [2], { absolute: 1e-5 });
      expectClose(bias, [1], { absolute: 1e-5 });
    });
  }

  it('random: draws of the seed, scaled to the wanted spread', async () => {
    const { weight } = await start('random', { name: 'out', currentStd: 0.5, missing: null });
    expectClose(weight.map(Math.abs), [0.5 / RATE_STD], { absolute: 1e-4 });
    expect(Math.sign(weight[0] as number)).to.equal(Math.sign(createRandom(8).normal()));
  });

  it('leaves no tensor behind', async () => {
    const missing = column((x) => x);
    const spikes = tf.tensor3d(SPIKES, [2, 4, 1]);
    const trace = { query: missing, key: missing, value: missing, hidden: missing, attended: missing, output: missing };
    const rest = { config: TINY_STUDENT, embeddings: 'teacher', teacher: tinyTeacher(), ids: tinyIds(1, 4), random: createRandom(8), parameters: new Map(), layer: 0, teacherLayer: traced(trace), windows: noWindows, atOnce: 2 ** 20,
      calibration: { ridge: 0.02, entryRate: 0.12, unitRate: 0.15, attentionDensity: 0.1 } } as const;
    const before = tf.memory().numTensors;
    await linearStart(oneGroup(spikes), { name: 'out', currentStd: 1, missing: oneGroup(missing) }, { ...rest, init: 'ridge' });
    await linearStart(oneGroup(spikes), { name: 'qkv', currentStd: 1 }, { ...rest, init: 'ridge' });
    expect(tf.memory().numTensors).to.equal(before);
  });
});
