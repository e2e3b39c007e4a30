import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { ShapeError } from '../../../src/core/errors.js';
import { readoutLogits } from '../../../src/core/ops/readout.js';
import { teacherForward } from '../../../src/core/teacher/forward.js';
import { teacherLanguageModel } from '../../../src/core/teacher/language-model.js';
import { describeOnBackends, expectClose } from '../../support/backends.js';
import { expectIncrementalEqualsFull } from '../../support/fake-language-model.js';
import { rejection } from '../../support/rejection.js';
import { tinyTeacher } from '../../support/tiny-models.js';

const IDS = [3, 1, 4, 1, 5, 9, 2, 6];

describeOnBackends('teacher as a language model', (backend) => {
  it('gives the logits of its forward pass, a sequence each, and counts nothing', async () => {
    const teacher = tinyTeacher();
    const model = teacherLanguageModel(teacher);
    expect(model).to.include({ kind: 'teacher', timeSteps: 1, backend });
    expect(model.shape).to.include({ vocabSize: 13, contextLength: 12 });
    const before = tf.memory().numTensors;
    const results = await model.forward([IDS, [...IDS].reverse()]);
    expect(tf.memory().numTensors).to.equal(before);
    const whole = await readoutLogits(teacherForward(teacher, tf.tensor2d([IDS, [...IDS].reverse()], [2, 8], 'int32')).readout).data();
    results.forEach(({ logits, counts }, i) => {
      expectClose(logits, whole.slice(i * 104, (i + 1) * 104), { absolute: 1e-5 }, `sequence ${i}`);
      expect(counts).to.equal(null);
    });
  });

  it('decoding token by token gives the logits of the full forward; a fork goes its own way', async function () {
    // Every length is another set of programs for an adapter to compile; a dense session only runs the forward pass again.
    if (backend === 'webgpu') this.skip();
    const model = teacherLanguageModel(tinyTeacher());
    await expectIncrementalEqualsFull(model, IDS, 1e-4);
    const session = model.openSession();
    await session.append([3, 1]);
    const fork = session.fork();
    const [there, here] = [await fork.append([7]), await session.append([4])];
    expect([session.length, fork.length]).to.deep.equal([3, 3]);
    expect(Array.from(there.logits)).to.not.deep.equal(Array.from(here.logits));
    expectClose(here.logits, (await model.forward([[3, 1, 4]]))[0]?.logits.slice(26) ?? [], { absolute: 1e-5 });
  });

  it('refuses a context that is too long and foreign ids, and a refused token is not kept', async () => {
    const model = teacherLanguageModel(tinyTeacher());
    const session = model.openSession();
    await session.append([1]);
    expect((await rejection(session.append([13]), ShapeError)).message).to.contain('token id 13 at position 1 is outside the model\'s vocabulary of 13');
    expect(session.length).to.equal(1);
    const long = await rejection(model.forward([Array.from({ length: 13 }, () => 1)]), ShapeError);
    expect([long.message, long.exitCode]).to.deep.equal(["13 tokens are more than the model's context of 12", 5]);
  });

  it('frees its parameters', () => {
    const before = tf.memory().numTensors;
    teacherLanguageModel(tinyTeacher()).dispose();
    expect(tf.memory().numTensors).to.equal(before);
  });
});
