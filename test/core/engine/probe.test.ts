import { expect } from 'chai';

import { BackendError } from '../../../src/core/errors.js';
import { instantiateEngine } from '../../../src/core/engine/instantiate.js';
import { probeEngine } from '../../../src/core/engine/probe.js';

describe('doctor, the engine', () => {
  it('works where the kernels load and add', async () => {
    const { available, device } = await probeEngine();
    expect(available).to.equal(true);
    expect(device).to.match(/^WebAssembly SIMD, \d+ cores?$/);
  });

  it('says why it does not', async () => {
    const missing = await probeEngine(() => Promise.reject(new BackendError('the kernels are not built')));
    expect(missing).to.deep.equal({ name: 'engine', available: false, device: '', reason: 'the kernels are not built' });
    const wrong = await probeEngine(async (memory) => ({ ...await instantiateEngine(memory), addSums: () => undefined }));
    expect(wrong).to.include({ available: false, reason: 'its kernels compute wrong sums here' });
  });
});
