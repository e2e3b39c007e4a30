import type { DevicePeak } from '../backend/profile/device-peak.js';
import type { KernelProfile, WorkProfile } from '../backend/profile/device-profile.js';
import { profileWork } from '../backend/profile/device-profile.js';

/** Steps of a process before the first that counts: kernels are still being compiled. */
const WARM_UP = 3;
/** Steps that are measured. */
const MEASURED = 5;

/** Measures some of the steps that pass through it; their results stay the same. */
export interface StepProfiler {
  around<Result>(step: () => Promise<Result>): Promise<Result>;
  /** What was measured; null when the run had no step after the warm-up. */ result(): StepsProfile | null;
}

/** Several steps together. */
export interface StepsProfile extends WorkProfile {
  readonly steps: number;
}

/** A profiler for one run. */
export function createStepProfiler(): StepProfiler {
  let seen = 0;
  const found: WorkProfile[] = [];
  return {
    around: async (step) => {
      seen++;
      if (seen <= WARM_UP || found.length === MEASURED) return step();
      const results: Awaited<ReturnType<typeof step>>[] = [];
      found.push(await profileWork(async () => { results.push(await step()); }));
      return results[0]!;
    },
    result: () => (found.length === 0 ? null : merge(found)),
  };
}

function merge(profiles: readonly WorkProfile[]): StepsProfile {
  const sums = new Map<string, KernelProfile>();
  for (const { kernels } of profiles) {
    for (const more of kernels) {
      const sum = sums.get(more.kernel);
      sums.set(more.kernel, sum === undefined ? more : {
        kernel: more.kernel, launches: sum.launches + more.launches, ms: sum.ms + more.ms, bytes: sum.bytes + more.bytes, operations: sum.operations + more.operations,
      });
    }
  }
  const wallMs = profiles.reduce((sum, profile) => sum + profile.wallMs, 0);
  const kernels = [...sums.values()].sort((a, b) => b.ms - a.ms || b.bytes - a.bytes);
  const gaps = profiles.flatMap(({ largestGap }) => (largestGap === null ? [] : [largestGap]));
  return {
    steps: profiles.length, kernels, wallMs, clock: profiles[0]!.clock,
    utilisation: kernels.reduce((sum, { ms }) => sum + ms, 0) / wallMs,
    largestGap: gaps.sort((a, b) => b.ms - a.ms)[0] ?? null,
  };
}

/** One kernel in the document that `distill --profile` writes; all numbers per step. */
export interface KernelLine extends KernelProfile {
  /** Of the time of all kernels, 0–1. */ readonly share: number;
  /** Of what the device was measured to do, of memory or of arithmetic, whichever it is nearer to; null where kernels have no times. */ readonly shareOfPeak: number | null;
}

/** The document that `distill --profile` writes. */
export interface ProfileDocument {
  readonly backend: string;
  readonly device: string;
  readonly steps: number;
  readonly tokensPerStep: number;
  readonly clock: WorkProfile['clock'];
  readonly peak: DevicePeak;
  /** By the wall, per step. */ readonly stepMs: number;
  readonly kernelMs: number;
  readonly utilisation: number;
  readonly largestGap: WorkProfile['largestGap'];
  readonly launches: number;
  readonly bytes: number;
  readonly operations: number;
  readonly kernels: readonly KernelLine[];
}

/** A profile per step, set beside the peak of the device. */
export function describeProfile(profile: StepsProfile, setting: Pick<ProfileDocument, 'backend' | 'device' | 'tokensPerStep' | 'peak'>): ProfileDocument {
  const { steps } = profile;
  const { peak } = setting;
  const total = (pick: (kernel: KernelProfile) => number): number => profile.kernels.reduce((sum, kernel) => sum + pick(kernel), 0);
  const kernelMs = total(({ ms }) => ms);
  const kernels = profile.kernels.filter(({ ms, launches }) => ms > 0 || launches > 0).map(({ kernel, launches, ms, bytes, operations }): KernelLine => {
    const seconds = ms / 1000;
    const shareOfPeak = ms > 0 ? Math.max(bytes / seconds / peak.bytesPerSecond, operations / seconds / peak.operationsPerSecond) : null;
    return { kernel, launches: launches / steps, ms: ms / steps, bytes: bytes / steps, operations: operations / steps, share: kernelMs > 0 ? ms / kernelMs : 0, shareOfPeak };
  });
  return {
    ...setting, steps, clock: profile.clock, stepMs: profile.wallMs / steps, kernelMs: kernelMs / steps, utilisation: profile.utilisation, largestGap: profile.largestGap,
    launches: total(({ launches }) => launches) / steps, bytes: total(({ bytes }) => bytes) / steps, operations: total(({ operations }) => operations) / steps, kernels,
  };
}
