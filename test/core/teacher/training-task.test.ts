import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { backward } from '../../../src/core/train/backward.js';
import { createTeacherTask, teacherNll } from '../../../src/core/teacher/training-task.js';
import type { Teacher } from '../../../src/core/teacher/parameters.js';
import { describeOnBackends, expectClose } from '../../support/backends.js';
import { tinyIds, tinyTeacher } from '../../support/tiny-models.js';

const windows = (): Int32Array[] => [tinyIds(1, 7, 40), tinyIds(1, 7, 41)].map((ids) => ids.dataSync<'int32'>().slice());
const joined = (): Int32Array => Int32Array.from(windows().flatMap((window) => [...window]));

describeOnBackends('teacher training task', (backend) => {
  it('a teacher of zeros loses ln V = ln 13 on every target', async () => {
    const { config, parameters } = tinyTeacher();
    const silent: Teacher = { config, parameters: new Map(Array.from(parameters, ([name, tensor]) => [name, tf.zerosLike(tensor)])) };
    expectClose([await teacherNll(silent, windows())], [Math.log(13)], { absolute: 1e-6 });
  });

  it('has one term, its total: the validation loss of the same tokens; every parameter gets a gradient', async () => {
    const teacher = tinyTeacher();
    const task = createTeacherTask({ teacher, context: 6, recompute: false, exportTeacher: () => Promise.resolve() });
    const batch = { tokens: joined(), starts: Int32Array.of(0, 7) };
    const losses = tf.tidy(() => {
      const made = task.losses(batch);
      return [made.total, made.terms['hta'] as tf.Scalar, tf.scalar(Object.keys(made.terms).length + (made.rates === null ? 0 : 1))];
    });
    const [total, hta, count] = await Promise.all(losses.map(async (x) => (await x.data())[0]));
    expect([hta, count]).to.deep.equal([total, 1]);
    expectClose([await task.validNll(windows())], [total as number], { absolute: 1e-5 });
    if (backend !== 'webgpu') {
      const { gradients } = backward(task.parameters, () => task.losses(batch).total);
      expect([...gradients.keys()]).to.deep.equal([...teacher.parameters.keys()]);
      // A key bias adds the same to all scores of a row, so softmax takes it out again.
      for (const [name, gradient] of gradients) expect((await tf.max(tf.abs(gradient)).data())[0], name).to.be[name.endsWith('k_proj.bias') ? 'below' : 'above'](1e-6);
    }
    task.dispose();
  });

  it('recomputes its layers to the same bits', function () {
    if (backend === 'webgpu') this.skip(); // it cannot read at once; the operation itself is tested there
    const bits = (recompute: boolean): number[][] => {
      const task = createTeacherTask({ teacher: tinyTeacher(), context: 6, recompute, exportTeacher: () => Promise.resolve() });
      const { value, gradients } = backward(task.parameters, () => task.losses({ tokens: joined(), starts: Int32Array.of(0, 7) }).total);
      return [value, ...gradients.values()].map((tensor) => Array.from(new Uint32Array(tensor.dataSync<'float32'>().slice().buffer)));
    };
    expect(bits(true)).to.deep.equal(bits(false));
  });

  it('copies the weights it is given, exports what it trains, and frees it', async () => {
    const teacher = tinyTeacher();
    const five = tf.fill([8], 5);
    const before = tf.memory().numTensors;
    const folders: [string, Teacher][] = [];
    const task = createTeacherTask({ teacher, context: 6, recompute: false, exportTeacher: async (exported, folder) => { folders.push([folder, exported]); } });
    (task.parameters.get('final_layer_norm.bias') as tf.Variable).assign(five);
    expect((await (teacher.parameters.get('final_layer_norm.bias') as tf.Tensor).data())[0]).to.not.equal(5);
    await task.exportModel('a/folder');
    expect(folders[0]?.[0]).to.equal('a/folder');
    expectClose(await (folders[0]?.[1].parameters.get('final_layer_norm.bias') as tf.Tensor).data(), new Array<number>(8).fill(5), { absolute: 0 });
    task.dispose();
    expect(tf.memory().numTensors).to.equal(before);
  });
});
