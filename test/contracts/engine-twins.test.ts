import { expect } from 'chai';

import type { EngineKernels } from '../../src/core/engine/kernels.js';
import { referenceKernels } from '../../src/core/engine/reference.js';
import type { KernelCase, KernelTwins } from '../support/kernel-twins.js';
import { openTwins } from '../support/kernel-twins.js';

describe('contract: the comparison of engine kernels', () => {
  const sabotage = async (change: (kernels: EngineKernels) => Partial<EngineKernels>): Promise<KernelTwins> =>
    openTwins((memory) => {
      const kernels = referenceKernels(memory);
      return Promise.resolve({ ...kernels, ...change(kernels) });
    });
  const addition: KernelCase = ({ arena }) => {
    const acc = arena.place(new Float32Array(64).fill(1), 'acc');
    const stream = arena.place(new Float32Array(64), 'stream');
    return (kernels) => kernels.addCurrentFloat(acc, stream, 64, 0, 64, 1);
  };

  it('accepts equal kernels and names the first element that differs', async () => {
    (await sabotage(() => ({}))).compare(1, addition);
    const twice = await sabotage((kernels) => ({
      addCurrentFloat: (...args) => { kernels.addCurrentFloat(...args); kernels.addCurrentFloat(...args); },
    }));
    expect(() => twice.compare(1, addition)).to.throw('stream[0] of 64 is 2; the reference has 1');
  });

  it('notices a different answer', async () => {
    const twins = await sabotage(() => ({ quantise: () => -0 }));
    const zeros: KernelCase = ({ arena }) => {
      const x = arena.place(new Float32Array(64), 'x');
      const out = arena.place(new Int16Array(64), 'out');
      return (kernels) => kernels.quantise(x, 64, 127, out);
    };
    expect(() => twins.compare(1, zeros)).to.throw('the reference returns 0');
  });
});
