import type { KernelProfile } from '../../src/core/backend/profile/device-profile.js';

/** What a device can do at most. */
export interface DeviceLimits {
  readonly operationsPerSecond: number;
  readonly bytesPerSecond: number;
}

/** The least time that work can take. */
export interface Roofline {
  /** If only arithmetic took time [ms]. */ readonly arithmeticMs: number;
  /** If only memory took time [ms]. */ readonly memoryMs: number;
  /** Each kernel by whichever of the two takes it longer, one kernel after the other [ms]. */ readonly ms: number;
}

/** Roofline of kernels that run one after the other (Williams, Waterman and Patterson, 2009). */
export function rooflineOf(kernels: readonly Pick<KernelProfile, 'operations' | 'bytes'>[], { operationsPerSecond, bytesPerSecond }: DeviceLimits): Roofline {
  const sum = (pick: (kernel: Pick<KernelProfile, 'operations' | 'bytes'>) => number): number => 1000 * kernels.reduce((total, kernel) => total + pick(kernel), 0);
  const arithmetic = ({ operations }: Pick<KernelProfile, 'operations'>): number => operations / operationsPerSecond;
  const memory = ({ bytes }: Pick<KernelProfile, 'bytes'>): number => bytes / bytesPerSecond;
  return { arithmeticMs: sum(arithmetic), memoryMs: sum(memory), ms: sum((kernel) => Math.max(arithmetic(kernel), memory(kernel))) };
}
