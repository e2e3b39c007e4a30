import type { KernelConfig } from '@tensorflow/tfjs-core';

import type { KernelHeap } from './heap.js';
import { inputOf, sizeOf, standardKernel } from './heap.js';

/** `Exp` of float32 with a relative error below 2.5e-7. (The standard softmax is fast and stays.) */
export function elementwiseKernels(heap: KernelHeap): KernelConfig[] {
  const standardExp = standardKernel('Exp');
  return [
    {
      kernelName: 'Exp', backendName: 'wasm',
      kernelFunc: (call) => {
        const x = inputOf(call.inputs, 'x');
        if (x.dtype !== 'float32') return standardExp(call);
        const out = heap.output(x.shape);
        heap.call.exp(heap.address(x), heap.address(out), sizeOf(x.shape));
        return out;
      },
    },
  ];
}
