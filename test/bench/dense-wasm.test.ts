import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { denseCache, denseDecode, densePrefill, disposeDense, uploadDense } from '../../bench/peers/dense-wasm.js';
import type { EngineShape } from '../../bench/support/engine-shapes.js';
import { studentOfShape } from '../../bench/support/engine-shapes.js';
import type { PlainStudent } from '../../bench/support/plain-student.js';
import { plainForward } from '../../bench/support/plain-student.js';
import { measureActivity, randomStudent, randomTokens } from '../../bench/support/random-student.js';
import { selectBackend } from '../../src/core/backend/select.js';
import { createRandom } from '../../src/core/corpus/random.js';
import { readoutLogits } from '../../src/core/ops/readout.js';
import { registerOperations } from '../../src/core/ops/register.js';
import { studentForward } from '../../src/core/student/forward.js';
import { ignoreSpikes } from '../../src/core/student/observe.js';
import { parameterShapes } from '../../src/core/student/parameters.js';

const SHAPE: EngineShape = { hiddenSize: 24, layers: 2, heads: 3, feedForwardSize: 40, vocabSize: 31, contextLength: 20 };
const TOKENS = 13;

function tinyStudent(onOff: boolean): PlainStudent {
  return randomStudent(studentOfShape(SHAPE, { timeSteps: 3, onOff }), { rate: 0.2, seed: 5, calibrationTokens: 20 });
}

/** Logits (L, V) of the training graph. */
function graphLogits({ config, values }: PlainStudent, ids: readonly number[]): Float32Array {
  return tf.tidy(() => {
    const parameters = new Map(Array.from(parameterShapes(config), ([name, shape]) => [name, tf.tensor(values.get(name) as Float32Array, [...shape])]));
    return readoutLogits(studentForward({ config, parameters }, tf.tensor2d([[...ids]], [1, ids.length], 'int32'), { observe: ignoreSpikes, alignTo: null }).readout).dataSync() as Float32Array;
  });
}

function expectNear(found: Float32Array, wanted: Float32Array): void {
  expect(found.length).to.equal(wanted.length);
  const worst = found.reduce((most, value, i) => Math.max(most, Math.abs(value - (wanted[i] as number))), 0);
  expect(worst).to.be.below(1e-4);
}

describe('dense simulation of a student in TensorFlow.js (benchmark peer)', () => {
  before(async () => {
    await selectBackend('cpu');
    registerOperations();
  });

  for (const onOff of [false, true]) {
    const title = onOff ? 'with on/off pairs' : 'without on/off pairs';
    const student = tinyStudent(onOff);
    const ids = randomTokens(student.config, TOKENS, createRandom(8));

    it(`${title}: fires at every site exactly where plain loops do`, () => {
      const wanted: Float32Array[] = [];
      plainForward(student, ids, { spikes: ({ site, spikes }) => { if (site !== 'attention') wanted.push(spikes); } });
      const found: Float32Array[] = [];
      const dense = uploadDense(student);
      densePrefill(dense, ids, { logits: 'last', watch: ({ spikes }) => found.push(spikes) });
      disposeDense(dense);
      expect(found).to.have.length(10);
      found.forEach((spikes, i) => expect(spikes).to.deep.equal(wanted[i]));
      expect(found.every((spikes) => spikes.includes(1))).to.equal(true);
    });

    it(`${title}: gives the training graph's logits, in one pass and token by token`, () => {
      const wanted = graphLogits(student, ids);
      const dense = uploadDense(student);
      expectNear(densePrefill(dense, ids, { logits: 'all' }).logits, wanted);
      const { vocabSize } = student.config;
      expectNear(densePrefill(dense, ids, { logits: 'last' }).logits, wanted.subarray(-vocabSize));
      const cache = denseCache(dense, ids.slice(0, -1));
      expectNear(denseDecode(dense, ids.at(-1) ?? 0, { cache }), wanted.subarray(-vocabSize));
      tf.dispose(cache.map(({ keys, values }) => [keys, values]));
      disposeDense(dense);
    });
  }

  it('leaves no tensors behind', () => {
    const before = tf.memory().numTensors;
    const dense = uploadDense(tinyStudent(false));
    densePrefill(dense, [1, 2, 3], { logits: 'all' });
    disposeDense(dense);
    expect(tf.memory().numTensors).to.equal(before);
  });

  it('the random student fires at the rate asked for', () => {
    const config = studentOfShape({ ...SHAPE, hiddenSize: 48, feedForwardSize: 96, contextLength: 64 }, { timeSteps: 2, onOff: false });
    const student = randomStudent(config, { rate: 0.15, seed: 3, calibrationTokens: 64 });
    const activity = measureActivity(student, randomTokens(config, 64, createRandom(4)));
    expect(Object.keys(activity)).to.have.length(6);
    for (const [site, seen] of Object.entries(activity)) {
      const { rate, union } = seen ?? { rate: 0, union: 0 };
      expect(rate, site).to.be.within(0.07, 0.23);
      expect(union, site).to.be.within(rate, 2 * rate);
    }
  });
});
