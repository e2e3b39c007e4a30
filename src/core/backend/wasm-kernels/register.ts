import type { KernelConfig } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';

import { adamKernels } from './adam.js';
import { attentionKernels } from './attention.js';
import { elementwiseKernels } from './elementwise.js';
import type { KernelHeap } from './heap.js';
import { layoutKernels } from './layout.js';
import { layerNormKernels } from './layer-norm.js';
import { lifKernels } from './lif.js';
import { lossKernels } from './losses.js';
import { mapKernels } from './maps.js';
import { matMulKernels } from './matmul.js';
import { reduceKernels } from './reduce.js';
import { reluMatMulKernels } from './relu-matmul.js';
import { residualKernels } from './residual.js';
import { sampleKernels } from './sample-rows.js';
import { spikeMatMulKernels } from './spike-matmul.js';

const GROUPS = [
  matMulKernels, reduceKernels, residualKernels, elementwiseKernels, layoutKernels, lifKernels, spikeMatMulKernels, reluMatMulKernels, attentionKernels,
  layerNormKernels, lossKernels, mapKernels, adamKernels, sampleKernels,
];

/** Registers every kernel of ours for the wasm backend, in place of the standard one where there is one. */
export function registerKernels(heap: KernelHeap): void {
  const kernels: KernelConfig[] = GROUPS.flatMap((group) => group(heap));
  for (const kernel of kernels) {
    if (tf.getKernel(kernel.kernelName, kernel.backendName) != null) tf.unregisterKernel(kernel.kernelName, kernel.backendName);
    tf.registerKernel(kernel);
  }
}
