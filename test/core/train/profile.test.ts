import { expect } from 'chai';

import { describeProfile } from '../../../src/core/train/profile.js';

describe('profile of steps', () => {
  it('is per step, and sets each kernel beside the roof that it is nearer to', () => {
    const document = describeProfile({
      steps: 2, wallMs: 100, clock: 'gpu', utilisation: 0.8, largestGap: { ms: 3, after: 'a', before: 'b' },
      kernels: [
        { kernel: 'BatchMatMul', launches: 8, ms: 60, bytes: 6e6, operations: 30e9 },
        { kernel: 'Add', launches: 4, ms: 20, bytes: 1e9, operations: 1e6 },
        { kernel: 'Composed', launches: 0, ms: 0, bytes: 0, operations: 0 },
      ],
    }, { backend: 'webgpu', device: 'D', tokensPerStep: 64, peak: { operationsPerSecond: 1e12, bytesPerSecond: 100e9 } });
    expect(document).to.include({ backend: 'webgpu', steps: 2, tokensPerStep: 64, stepMs: 50, kernelMs: 40, launches: 6, bytes: 503e6, clock: 'gpu' });
    expect(document.kernels.map(({ kernel }) => kernel)).to.deep.equal(['BatchMatMul', 'Add']);
    const [product, sum] = document.kernels;
    // 30e9 operations in .06 s are half of 1e12 a second; 1e9 bytes in .02 s half of 100e9.
    expect(product).to.deep.include({ launches: 4, ms: 30, share: 0.75, bytes: 3e6, operations: 15e9 });
    expect(product?.shareOfPeak).to.be.closeTo(0.5, 1e-12);
    expect(sum?.shareOfPeak).to.be.closeTo(0.5, 1e-12);
  });
});
