import v8 from 'node:v8';

import { WASM_PAGE_BYTES, wasmApi } from '../../wasm/api.js';
import { readKernelFile } from '../../wasm/kernel-files.js';
import { instantiateKernels } from './instantiate.js';

/** Compiled kernels that run here. */
export interface KernelBinary {
  readonly bytes: Uint8Array;
  /** Whether dense matrix products and exp round a product and its sum once, together. */ readonly hasFusedMultiplyAdd: boolean;
}

/**
 * The kernels with fused multiply-add where Node.js accepts them and a trial shows that the processor fuses; otherwise those that give
 * the same bits everywhere. @throws BackendError when the kernels are not built.
 */
export async function readKernelBinary(): Promise<KernelBinary> {
  const fused = await readKernelFile('training-fused.wasm');
  if (canValidate(fused) && (await fuses(fused))) return { bytes: fused, hasFusedMultiplyAdd: true };
  return { bytes: await readKernelFile('training.wasm'), hasFusedMultiplyAdd: false };
}

/** Relaxed SIMD is finished but behind a flag in Node.js 20, and in every later version on without one. */
function canValidate(binary: Uint8Array): boolean {
  if (process.version.startsWith('v20.')) v8.setFlagsFromString('--experimental-wasm-relaxed-simd');
  return wasmApi.validate(binary);
}

/** Pages of memory the trial product needs at most. */
const TRIAL_PAGES = 16;

/**
 * Multiplies (−c, a)·(1, a)ᵀ in every column of every register of a tile, with a = 1 + 2⁻¹² and c = a² rounded: the result is the rounding
 * error of a², 2⁻²⁴, when the multiply-add rounds once, and 0 when it rounds twice. @returns whether all results are 2⁻²⁴.
 */
async function fuses(binary: Uint8Array): Promise<boolean> {
  const memory = new wasmApi.Memory({ initial: TRIAL_PAGES });
  const { gemm, gemmScratchBytes } = await instantiateKernels(binary, memory);
  if (gemmScratchBytes(0) > (TRIAL_PAGES - 1) * WASM_PAGE_BYTES) return false;
  const [rows, columns, depth, a] = [7, 11, 2, 1 + 2 ** -12];
  const floats = (count: number, at: number): Float32Array => new Float32Array(memory.buffer, at, count);
  const [left, right, result] = [floats(rows * depth, 0), floats(depth * columns, 1024), floats(rows * columns, 2048)];
  left.forEach((_, i) => { left[i] = i % depth === 0 ? -(1 + 2 ** -11) : a; });
  right.forEach((_, i) => { right[i] = i < columns ? 1 : a; });
  gemm(left.byteOffset, right.byteOffset, result.byteOffset, 0, rows, columns, depth, 0, 0, WASM_PAGE_BYTES);
  return result.every((value) => value === 2 ** -24);
}
