import { expect } from 'chai';

import { ApiError } from '../../../src/core/serve/api-error.js';
import type { WorkQueue } from '../../../src/core/serve/work-queue.js';
import { createWorkQueue } from '../../../src/core/serve/work-queue.js';

const never = new AbortController().signal;

/** A job that ends when told. */
function gate(): { job: () => Promise<string>; open: (value: string) => void; hasStarted: () => boolean } {
  let started = false;
  let open: (value: string) => void = () => undefined;
  const opened = new Promise<string>((resolve) => { open = resolve; });
  return { job: () => { started = true; return opened; }, open, hasStarted: () => started };
}

const settled = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve); });
const load = ({ running, waiting }: WorkQueue): number[] => [running, waiting];

describe('work queue of the server', () => {
  it('runs so many at a time, the others in the order of their coming; refuses one too many with 429', async () => {
    const queue = createWorkQueue({ concurrency: 1, capacity: 2 });
    const gates = [gate(), gate(), gate()];
    const results = gates.map(({ job }) => queue.run(job, never));
    await settled();
    expect(load(queue)).to.deep.equal([1, 2]);
    expect(await queue.run(() => Promise.resolve(0), never).catch((error: unknown) => error)).to.be.instanceOf(ApiError).and.include({ status: 429 });
    gates[0]!.open('a');
    expect(await results[0]).to.equal('a');
    await settled();
    expect(gates.map(({ hasStarted }) => hasStarted())).to.deep.equal([true, true, false]);
    gates[2]!.open('c');
    gates[1]!.open('b');
    expect(await Promise.all(results)).to.deep.equal(['a', 'b', 'c']);
    expect(load(queue)).to.deep.equal([0, 0]);
  });

  it('who has left the line does not get a turn, and one that fails makes room all the same', async () => {
    const queue = createWorkQueue({ concurrency: 1, capacity: 5 });
    const leaving = new AbortController();
    const [first, second, third] = [gate(), gate(), gate()];
    const failing = queue.run(async () => { await first.job(); throw new Error('boom'); }, never).catch((error: Error) => error.message);
    const left = queue.run(second.job, leaving.signal).catch((error: Error) => error.message);
    const last = queue.run(third.job, never);
    await settled();
    leaving.abort(new Error('gone'));
    expect(await left).to.equal('gone');
    expect(load(queue)).to.deep.equal([1, 1]);
    first.open('');
    third.open('c');
    expect(await Promise.all([failing, last])).to.deep.equal(['boom', 'c']);
    expect(second.hasStarted()).to.equal(false);
    expect(load(queue)).to.deep.equal([0, 0]);
  });

  it('closing sends home the line, waits for what runs, and takes nobody new', async () => {
    const queue = createWorkQueue({ concurrency: 1, capacity: 5 });
    const [running, waiting] = [gate(), gate()];
    const first = queue.run(running.job, never);
    const second = queue.run(waiting.job, never).catch((error: unknown) => error);
    await settled();
    let isClosed = false;
    const closing = queue.close().then(() => { isClosed = true; });
    expect(await second).to.include({ status: 503 });
    expect(await queue.run(() => Promise.resolve(0), never).catch((error: unknown) => error)).to.include({ status: 503 });
    expect(isClosed).to.equal(false);
    running.open('done');
    expect(await first).to.equal('done');
    await closing;
  });
});
