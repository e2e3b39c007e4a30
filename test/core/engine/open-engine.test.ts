import { availableParallelism } from 'node:os';

import { expect } from 'chai';

import { openEngine } from '../../../src/core/engine/open-engine.js';
import { ShapeError, UsageError } from '../../../src/core/errors.js';
import { slidingSession } from '../../../src/core/generate/sliding-session.js';
import { prepareBackend } from '../../../src/core/pipeline/prepare-backend.js';
import { writeRandomStudent } from '../../support/engine-students.js';
import { rejection } from '../../support/rejection.js';
import { withTempFolder } from '../../support/temp-folder.js';
import { TINY_STUDENT } from '../../support/tiny-models.js';

const withTiny = (body: (folder: string) => Promise<void>) => withTempFolder(async (folder) => {
  await prepareBackend('cpu');
  await writeRandomStudent(folder, TINY_STUDENT);
  await body(folder);
});
const open = (folder: string, threads: number | null = 1) => openEngine({ folder, precision: 'int8', threads, notice: () => undefined });

describe('opening the engine', () => {
  it('takes one thread for a small model', () => withTiny(async (folder) => {
    expect(await open(folder, null)).to.include({ threads: 1, precision: 'int8', backend: 'engine', timeSteps: 4 });
  }));

  for (const threads of [0, 1.5, availableParallelism() + 1]) {
    it(`refuses ${threads} threads`, () => withTiny(async (folder) => {
      expect((await rejection(open(folder, threads), UsageError)).suggestions).to.deep.equal([`--threads ${availableParallelism()}`]);
    }));
  }

  it('says that a sequence does not fit the context, and what is wrong with an id', () => withTiny(async (folder) => {
    const engine = await open(folder);
    const long = await rejection(engine.forward([new Int32Array(13)]), ShapeError);
    expect(long.message).to.equal("13 tokens are more than the model's context of 12");
    const session = engine.openSession();
    await session.append(new Int32Array(12));
    expect((await rejection(session.append([0]), ShapeError)).message).to.equal("13 tokens are more than the model's context of 12");
    expect((await rejection(engine.forward([[1, 13]]), ShapeError)).message).to.equal("token id 13 at position 1 is outside the model's vocabulary of 13");
    expect((await rejection(engine.forward([[]]), ShapeError)).message).to.contain('no tokens');
  }));

  it('needs no more memory however long it writes, and none for sessions that are gone', () => withTiny(async (folder) => {
    const engine = await open(folder);
    const session = slidingSession(engine);
    for (let i = 0; i < 40; i++) await session.append([i % 13]);
    const { memoryBytes } = engine;
    for (let i = 0; i < 5000; i++) await session.append([i % 13]);
    for (let i = 0; i < 100; i++) {
      const fork = session.fork();
      await fork.append([1]);
      fork.dispose();
    }
    await engine.forward([[1, 2, 3], [4, 5, 6]]);
    // One page for the fork beside that of the session.
    expect(engine.memoryBytes - memoryBytes).to.be.at.most(2 * 2 * 2 * 4 * 64 * 8);
  }));

  it('counts its work', () => withTiny(async (folder) => {
    const engine = await open(folder);
    expect(engine.work.tokens).to.equal(0);
    await engine.forward([[1, 2, 3]]);
    const session = engine.openSession();
    await session.append([4, 5]);
    expect(engine.work.tokens).to.equal(5);
    // Pairs: 6 of the sequence, 3 of the session; 2 heads, 2 layers, 4 time steps.
    expect(engine.work.popcounts).to.equal(9 * 2 * 2 * 4);
    expect(engine.work.headBytes, 'rows of 64 bytes, once per call').to.equal(2 * 13 * 64);
  }));
});
