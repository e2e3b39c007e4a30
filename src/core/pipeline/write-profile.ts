import { join } from 'node:path';

import { measurePeak, peakEffort } from '../backend/profile/device-peak.js';
import type { BackendChoice } from '../backend/select.js';
import { writeTextAtomically } from '../hub/atomic-write.js';
import type { ProfileDocument, StepProfiler } from '../train/profile.js';
import { describeProfile } from '../train/profile.js';
import type { Reporter } from '../types.js';

/** A profile and where it lies. */
export interface ProfileReport extends ProfileDocument {
  readonly path: string;
}

/** Where and on what a run was profiled. */
export interface ProfileSetting {
  readonly run: string;
  readonly backend: BackendChoice;
  readonly tokensPerStep: number;
  readonly reporter: Reporter;
}

/** Measures what the device can do at most and writes `profile.json` into the run folder; null when no step was measured. */
export async function writeProfile(profiler: StepProfiler, { run, backend, tokensPerStep, reporter }: ProfileSetting): Promise<ProfileReport | null> {
  const profile = profiler.result();
  if (profile === null) {
    reporter.notice('No profile: the run made too few steps; the first three are not measured');
    return null;
  }
  if (profile.clock === 'recording') reporter.notice(`${backend.device} has no timestamp queries: the profile has launches, bytes and operations, but no times`);
  const peak = await measurePeak(peakEffort({ isGpu: backend.name === 'webgpu' || backend.name === 'tensorflow', isEmulated: backend.capabilities.software || backend.name === 'cpu' }));
  const path = join(run, 'profile.json');
  const document = describeProfile(profile, { backend: backend.name, device: backend.device, tokensPerStep, peak });
  await writeTextAtomically(path, `${JSON.stringify(document, null, 2)}\n`);
  return { path, ...document };
}
