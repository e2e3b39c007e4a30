import type { WorkProfile } from '../../src/core/backend/profile/device-profile.js';
import { profileWork } from '../../src/core/backend/profile/device-profile.js';
import { countDispatches } from './unfused-traffic.js';

/** What a step asks of the active WebGPU device, whatever that device makes of it. */
export interface StepCounts {
  /** Commands that run a shader. */ readonly dispatches: number;
  /** Of every tensor bound by every dispatch, each once. */ readonly boundBytes: number;
  /** Of the inputs and outputs of every kernel. */ readonly kernelBytes: number;
  /** By formula, spikes as if dense. */ readonly operations: number;
}

/** Runs `work` once and counts. */
export async function countStep(work: () => Promise<void>): Promise<{ counts: StepCounts; profile: WorkProfile }> {
  let profile: WorkProfile | null = null;
  const traffic = await countDispatches(async () => { profile = await profileWork(work); });
  const { kernels } = profile as unknown as WorkProfile;
  const total = (key: 'bytes' | 'operations'): number => kernels.reduce((sum, kernel) => sum + kernel[key], 0);
  const counts = { dispatches: traffic.dispatches, boundBytes: traffic.bytesMoved, kernelBytes: total('bytes'), operations: total('operations') };
  return { counts, profile: profile as unknown as WorkProfile };
}
