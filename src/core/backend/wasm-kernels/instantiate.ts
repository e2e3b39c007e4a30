import { compileKernels, instantiateModule } from '../../wasm/kernel-files.js';

/** Every function the compiled kernels export; arguments are byte addresses, sizes, flags (0/1) and float32 values. */
export const KERNEL_EXPORTS = [
  'gemm', 'gemmScratchBytes', 'exp', 'addInto', 'segmentSum', 'squaredError', 'squareSum', 'sumMiddle', 'addWrite', 'addWriteGrad', 'lif', 'lifGrad', 'lifScratchBytes', 'rateCode', 'causalSoftmax', 'softmaxAttention', 'softmaxAttentionScratchBytes',
  'packSpikes', 'spikeMatMul', 'spikeMatMulScratchBytes', 'spikeMatMulGradW', 'spikeMatMulGradWScratchBytes', 'reluMatMul', 'reluMatMulScratchBytes',
  'attention', 'attentionScratchBytes', 'attentionGrad', 'attentionGradScratchBytes',
  'layerNorm', 'layerNormGrad', 'crossEntropy', 'headLosses', 'sampleRows', 'adamStep',
  'maximum', 'scaleFloats', 'copyRuns', 'gather', 'greaterEqual', 'less', 'repeatRuns', 'transposeMatrices',
] as const;
export type KernelExport = (typeof KERNEL_EXPORTS)[number];
export type KernelExports = Readonly<Record<KernelExport, (...values: number[]) => number>>;

/** Instantiates the compiled kernels inside a memory. @throws BackendError when the binary is not the one these sources expect. */
export async function instantiateKernels(binary: Uint8Array, memory: object): Promise<KernelExports> {
  return instantiateModule(await compileKernels(binary), memory, KERNEL_EXPORTS);
}
