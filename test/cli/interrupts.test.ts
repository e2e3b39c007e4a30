import { expect } from 'chai';

import { listenForInterrupts } from '../../src/cli/interrupts.js';

describe('Ctrl-C', () => {
  it('first raises the abort signal, then is left to end the process', () => {
    const before = process.listenerCount('SIGINT');
    let calls = 0;
    const interrupts = listenForInterrupts(() => { calls += 1; });
    expect(process.listenerCount('SIGINT')).to.equal(before + 1);
    expect(interrupts.signal.aborted).to.equal(false);
    process.emit('SIGINT');
    expect(interrupts.signal.aborted).to.equal(true);
    expect(calls).to.equal(1);
    expect(process.listenerCount('SIGINT')).to.equal(before);
    expect(process.listenerCount('SIGTERM')).to.equal(0);
  });

  it('is not listened for after release', () => {
    const before = process.listenerCount('SIGINT');
    const interrupts = listenForInterrupts(() => undefined);
    interrupts.release();
    expect(process.listenerCount('SIGINT')).to.equal(before);
    expect(interrupts.signal.aborted).to.equal(false);
  });
});
