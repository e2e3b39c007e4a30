import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { packageRoot } from '../../../src/core/config/shipped.js';
import { FormatError, UsageError } from '../../../src/core/errors.js';
import { checkRunWith, findModel, openModel, teacherOfStudent } from '../../../src/core/pipeline/open-model.js';
import { prepareBackend } from '../../../src/core/pipeline/prepare-backend.js';
import { writeStudent } from '../../../src/core/student/folder.js';
import { downloadTeacher } from '../../../src/core/teacher/parameters.js';
import { writeTeacher } from '../../../src/core/teacher/weights.js';
import { silentReporter } from '../../../src/core/types.js';
import { rejection } from '../../support/rejection.js';
import { withTempFolder } from '../../support/temp-folder.js';
import { TINY_STUDENT, tinyStudentParameters, tinyTeacher } from '../../support/tiny-models.js';

/** A folder with `teacher` and a run `run` whose student names it. */
const withModels = (body: (root: string) => Promise<void>) => withTempFolder(async (root) => {
  const teacher = join(root, 'teacher');
  await writeTeacher(teacher, await downloadTeacher(tinyTeacher()), {});
  await writeStudent(join(root, 'run', 'student'), { config: TINY_STUDENT, parameters: tinyStudentParameters(TINY_STUDENT) }, { teacher: { folder: teacher, sha256: 'x' } });
  await body(root);
});

describe('pipeline/open-model', () => {
  before(async () => { await prepareBackend('cpu'); });

  it('tells a student from a teacher, and takes a run folder for the model in it', () => withModels(async (root) => {
    expect(await findModel(join(root, 'teacher'))).to.deep.equal({ kind: 'teacher', folder: join(root, 'teacher') });
    expect(await findModel(join(root, 'run', 'student'))).to.deep.equal({ kind: 'student', folder: join(root, 'run', 'student') });
    expect(await findModel(join(root, 'run'))).to.deep.equal({ kind: 'student', folder: join(root, 'run', 'student') });
    await mkdir(join(root, 'teacher-run'));
    await cp(join(root, 'teacher'), join(root, 'teacher-run', 'teacher'), { recursive: true });
    expect(await findModel(join(root, 'teacher-run'))).to.deep.equal({ kind: 'teacher', folder: join(root, 'teacher-run', 'teacher') });
  }));

  it('knows the built-in teacher by name', async () => {
    expect(await findModel('builtin:stories')).to.deep.equal({ kind: 'teacher', folder: join(packageRoot(), 'assets', 'stories-teacher') });
  });

  it('opens both kinds behind one interface, and disposing them leaves nothing', () => withModels(async (root) => {
    const before = tf.memory().numTensors;
    for (const [path, kind, timeSteps] of [['run', 'student', 4], ['teacher', 'teacher', 1]] as const) {
      const model = await openModel(await findModel(join(root, path)), { backend: 'cpu', precision: 'float32', threads: null }, silentReporter);
      expect(model).to.include({ kind, timeSteps });
      expect((await model.forward([[1, 2, 3]]))[0]?.logits).to.have.lengthOf(3 * 13);
      model.dispose();
    }
    expect(tf.memory().numTensors).to.equal(before);
  }));

  it('runs a student on the engine unless a tensor backend is named', () => withModels(async (root) => {
    const model = await openModel(await findModel(join(root, 'run')), { backend: 'auto', precision: 'int8', threads: 1 }, silentReporter);
    expect(model).to.include({ kind: 'student', backend: 'engine', precision: 'int8', threads: 1, timeSteps: 4 });
    expect((await model.forward([[1, 2, 3]]))[0]?.logits).to.have.lengthOf(3 * 13);
    model.dispose();
  }));

  it('refuses what does not fit together: a dense model on the engine, engine settings without it, more threads than cores', () => withModels(async (root) => {
    const teacher = await findModel(join(root, 'teacher'));
    const dense = await rejection(openModel(teacher, { backend: 'engine', precision: 'int8', threads: null }, silentReporter), UsageError);
    expect(dense.message).to.equal(`${teacher.folder} is a dense model: the engine runs spiking students only`);
    expect(() => checkRunWith({ backend: 'wasm', precision: 'int8', threads: null })).to.throw(UsageError, '--precision int8 is for the engine');
    expect(() => checkRunWith({ backend: 'cpu', precision: null, threads: 2 })).to.throw(UsageError, '--threads 2 is for the engine');
    checkRunWith({ backend: 'auto', precision: 'int4', threads: 2 });
    const cores = availableParallelism();
    const crowded = await rejection(openModel(await findModel(join(root, 'run')), { backend: 'auto', precision: 'int8', threads: cores + 1 }, silentReporter), UsageError);
    expect(crowded.message).to.equal(`${cores + 1} threads were asked for; this machine has ${cores} ${cores === 1 ? 'core' : 'cores'}`);
    expect(crowded.suggestions).to.deep.equal([`--threads ${cores}`]);
  }));

  it('says how to go on with a run that has no model yet', () => withTempFolder(async (root) => {
    await writeFile(join(root, 'config.resolved.yaml'), 'run: r\nteacher: t\n');
    const distillation = await rejection(findModel(root), FormatError);
    expect(distillation.message).to.equal(`${root} is a run that has not written a model yet`);
    expect(distillation.suggestions).to.deep.equal([`bispik distill --resume ${root}`]);
    await writeFile(join(root, 'config.resolved.yaml'), 'run: r\nmodel: {}\n');
    expect((await rejection(findModel(root), FormatError)).suggestions).to.deep.equal([`bispik train-teacher --config ${join(root, 'config.resolved.yaml')}`]);
  }));

  it('refuses a folder without a model, and one that is not there', () => withTempFolder(async (root) => {
    for (const path of [root, join(root, 'absent')]) {
      const refusal = await rejection(findModel(path), FormatError);
      expect([refusal.message, refusal.exitCode]).to.deep.equal([`${path} holds no model: config.json not found`, 5]);
      expect(refusal.suggestions.join()).to.contain('bispik import-teacher');
    }
    await writeFile(join(root, 'config.json'), '{');
    expect((await rejection(findModel(root), FormatError)).message).to.contain('config.json is not valid JSON');
  }));

  it('finds the teacher a student names while it is there, and only a folder named in words', () => withModels(async (root) => {
    const student = join(root, 'run', 'student');
    expect(await teacherOfStudent(student)).to.equal(join(root, 'teacher'));
    await rm(join(root, 'teacher'), { recursive: true });
    expect(await teacherOfStudent(student)).to.equal(null);
    for (const provenance of ['{"teacher":{"folder":7}}', '{"teacher":null}', '{}', '[]', 'no JSON']) {
      await writeFile(join(student, 'provenance.json'), provenance);
      expect(await teacherOfStudent(student), provenance).to.equal(null);
    }
    await writeFile(join(student, 'provenance.json'), '{"teacher":{"folder":"builtin:stories"}}');
    expect(await teacherOfStudent(student)).to.equal(join(packageRoot(), 'assets', 'stories-teacher'));
    await rm(join(student, 'provenance.json'));
    expect(await teacherOfStudent(student)).to.equal(null);
  }));
});
