import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { windowsOf } from '../../../src/core/corpus/batches.js';
import { Interrupted, NumericError } from '../../../src/core/errors.js';
import { readoutLogits } from '../../../src/core/ops/readout.js';
import { beginCache, openCache } from '../../../src/core/teacher-cache/cache.js';
import type { FillOptions } from '../../../src/core/teacher-cache/fill.js';
import { fillCache } from '../../../src/core/teacher-cache/fill.js';
import type { CacheIdentity } from '../../../src/core/teacher-cache/identity.js';
import { teacherForward } from '../../../src/core/teacher/forward.js';
import type { Teacher } from '../../../src/core/teacher/parameters.js';
import { silentReporter } from '../../../src/core/types.js';
import { describeOnBackends, expectClose } from '../../support/backends.js';
import { rejection } from '../../support/rejection.js';
import { denseRow, tinyHeader, tinyIdentity } from '../../support/teacher-cache.js';
import { withTempFolder } from '../../support/temp-folder.js';
import { tinyIds, tinyTeacher } from '../../support/tiny-models.js';

const tokens = (): Int32Array => tf.tidy(() => tinyIds(1, 40, 17).dataSync<'int32'>().slice());
const quiet = () => ({ reporter: silentReporter, signal: new AbortController().signal });

async function fill(folder: string, change: Partial<FillOptions> & { identity?: CacheIdentity } = {}, ctx = quiet()): Promise<void> {
  const identity = change.identity ?? tinyIdentity();
  await beginCache(folder, tinyHeader(identity));
  await fillCache({ folder, identity, teacher: change.teacher ?? tinyTeacher(), tokens: change.tokens ?? tokens(), starts: [0, 6, 12, 18, 24, 30], atOnce: 2, ...change }, ctx);
}

describeOnBackends('teacher-cache/fill', () => {
  it('with a slot for every id it holds the softened distribution that the teacher gives after each token of each window, and its entropy', () => withTempFolder(async (folder) => {
    const identity = tinyIdentity({ samples: 15, temperature: 1.7 });
    await fill(folder, { identity, starts: [24, 6], atOnce: 1 });
    const cache = await openCache(folder, tinyHeader(identity));
    const rows = cache.read(Int32Array.of(6, 24));
    const teacher = tinyTeacher();
    const logits = tf.tidy(() => readoutLogits(teacherForward(teacher, tf.tensor2d([...tokens().slice(6, 12), ...tokens().slice(24, 30)], [2, 6], 'int32')).readout));
    const values = await logits.data<'float32'>();
    for (let row = 0; row < 12; row++) {
      const powers = Array.from(values.slice(13 * row, 13 * (row + 1)), (value) => Math.exp(value / 1.7));
      const sum = powers.reduce((a, b) => a + b);
      const p = powers.map((power) => power / sum);
      expectClose(denseRow(rows, row, 13), p, { absolute: 3e-5 }, `row ${row}`);
      expectClose([rows.entropy[row] as number], [-p.reduce((nats, value) => nats + value * Math.log(value), 0)], { absolute: 1e-5 }, `entropy of row ${row}`);
    }
    cache.close();
    tf.dispose([logits, ...teacher.parameters.values()]);
  }));
});

describe('teacher-cache/fill', () => {
  const contentsOf = async (folder: string) => {
    const cache = await openCache(folder, tinyHeader());
    const rows = cache.read(Int32Array.of(0, 6, 12, 18, 24, 30));
    cache.close();
    return rows;
  };

  it('Ctrl-C keeps what was computed; what is added later makes the same cache as one filled at once, in any order', () => withTempFolder((whole) => withTempFolder(async (folder) => {
    await fill(whole, { starts: [30, 0, 12, 24, 6, 18], atOnce: 6 });
    const control = new AbortController();
    const reporter = { ...silentReporter, progress: () => { control.abort(); } };
    const stopped = await rejection(fill(folder, {}, { reporter, signal: control.signal }), Interrupted);
    expect(stopped.message).to.contain('stopped with 2 of 6 missing windows').and.to.contain(folder);
    expect(stopped.suggestions.join()).to.contain('same command again');
    const half = await openCache(folder, tinyHeader());
    expect([0, 6, 12].map((start) => half.has(start))).to.deep.equal([true, true, false]);
    half.close();
    await fill(folder, { starts: [12, 18, 24, 30] });
    const rows = await contentsOf(folder);
    expect(rows).to.deep.equal(await contentsOf(whole));
    // A window's sample must depend on where it begins.
    expect([...rows.ids.slice(0, 30)]).to.not.deep.equal([...rows.ids.slice(30, 60)]);
  })));

  it('takes at most 64 bytes a token on disk with as many ids as may be asked for, even in windows of 12 tokens', () => withTempFolder(async (folder) => {
    const identity = tinyIdentity({ samples: 14, context: 12 });
    const header = tinyHeader(identity);
    const stream = Int32Array.from({ length: 12 * 300 + 1 }, (_, i) => (i * i) % 13);
    const starts = windowsOf(stream, 12).map((_, i) => 12 * i);
    await beginCache(folder, header);
    await fillCache({ folder, identity, teacher: tinyTeacher(), tokens: stream, starts }, quiet());
    const cache = await openCache(folder, header);
    expect(cache.windows).to.equal(300);
    const sizes = await Promise.all((await readdir(folder)).map(async (name) => (await stat(join(folder, name))).size));
    expect(sizes.reduce((a, b) => a + b) / (12 * 300)).to.be.within(60, 64);
    cache.close();
  }));

  it('refuses a teacher whose logits are not finite, naming the token', () => withTempFolder(async (folder) => {
    const { config, parameters } = tinyTeacher();
    const broken: Teacher = { config, parameters: new Map([...parameters, ['final_layer_norm.bias', tf.fill([8], NaN)]]) };
    const refusal = await rejection(fill(folder, { teacher: broken, starts: [6] }), NumericError);
    expect(refusal.message).to.contain('after training token 6 are not finite');
  }));

  it('leaves no tensor behind', () => withTempFolder(async (folder) => {
    const teacher = tinyTeacher();
    const before = tf.memory().numTensors;
    await fill(folder, { teacher, tokens: Int32Array.from({ length: 40 }, (_, i) => i % 13) });
    expect(tf.memory().numTensors).to.equal(before);
  }));
});
