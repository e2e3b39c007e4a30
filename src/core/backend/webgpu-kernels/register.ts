import type { KernelConfig } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';

import { adamKernels } from './adam.js';
import { attentionKernels } from './attention.js';
import { cutKernels } from './cut-kernels.js';
import type { GpuDispatcher } from './dispatch.js';
import { gatherKernels } from './gather.js';
import { headLossKernels } from './head-losses.js';
import { layerNormKernels } from './layer-norm.js';
import { lifKernels } from './lif.js';
import { lossKernels } from './losses.js';
import { matMulKernels } from './matmul.js';
import { reduceKernels } from './reduce.js';
import { residualKernels } from './residual.js';
import { spikeMatMulKernels } from './spike-matmul.js';
import { squareRunKernels } from './square-runs.js';

const GROUPS: ReadonlyArray<(gpu: GpuDispatcher) => KernelConfig[]> = [
  attentionKernels,
  lifKernels,
  spikeMatMulKernels,
  layerNormKernels,
  lossKernels,
  headLossKernels,
  adamKernels,
  reduceKernels,
  squareRunKernels,
  residualKernels,
  matMulKernels,
  gatherKernels,
  cutKernels,
];

/** Registers every kernel of ours for the webgpu backend, in place of the standard one where there is one. */
export function registerGpuKernels(gpu: GpuDispatcher): void {
  for (const kernel of GROUPS.flatMap((group) => group(gpu))) {
    if (tf.getKernel(kernel.kernelName, kernel.backendName) != null) tf.unregisterKernel(kernel.kernelName, kernel.backendName);
    tf.registerKernel(kernel);
  }
}
