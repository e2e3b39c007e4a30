import { BackendError } from '../../errors.js';

/** Every function the compiled kernels export; arguments are byte addresses, sizes, flags (0/1) and float32 values. */
export const KERNEL_EXPORTS = [
  'gemm', 'gemmScratchBytes', 'exp', 'segmentSum', 'sumMiddle', 'lif', 'lifGrad', 'lifScratchBytes',
  'spikeMatMul', 'spikeMatMulScratchBytes', 'spikeMatMulGradW', 'spikeMatMulGradWScratchBytes',
  'attention', 'attentionScratchBytes', 'attentionGrad', 'attentionGradScratchBytes',
  'layerNorm', 'layerNormGrad', 'crossEntropy', 'softTarget', 'adamStep',
  'maximum', 'copyRuns', 'gather', 'greaterEqual', 'less', 'repeatRuns', 'transposeMatrices',
] as const;
export type KernelExport = (typeof KERNEL_EXPORTS)[number];
export type KernelExports = Readonly<Record<KernelExport, (...values: number[]) => number>>;

/** The part of the WebAssembly API used here; the types of Node 20 do not declare it. */
interface WebAssemblyApi {
  readonly Memory: new (size: { initial: number }) => { readonly buffer: ArrayBuffer };
  validate(binary: Uint8Array): boolean;
  instantiate(binary: Uint8Array, imports: { env: { memory: object } }): Promise<{ instance: { exports: Record<string, unknown> } }>;
}
export const { WebAssembly } = globalThis as unknown as { readonly WebAssembly: WebAssemblyApi };

const REBUILD = 'npm run build:kernels';

/**
 * Instantiates the compiled kernels inside a memory.
 * @throws BackendError when the binary is not the one these sources expect.
 */
export async function instantiateKernels(binary: Uint8Array, memory: object): Promise<KernelExports> {
  let exports: Record<string, unknown>;
  try {
    const { instance } = await WebAssembly.instantiate(binary, { env: { memory } });
    exports = instance.exports;
  } catch (cause) {
    throw new BackendError('the compiled wasm kernels cannot be loaded', { cause, suggestions: [REBUILD] });
  }
  const missing = KERNEL_EXPORTS.filter((name) => typeof exports[name] !== 'function');
  if (missing.length > 0) {
    throw new BackendError(`the compiled wasm kernels lack ${missing.join(', ')}: they are older than this code`, { suggestions: [REBUILD] });
  }
  return exports as unknown as KernelExports;
}
