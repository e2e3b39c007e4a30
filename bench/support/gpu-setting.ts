/**
 * One student at one number of time steps, at batch after batch until the device has no more memory; a process of its own, because a device that ran out
 * is of no use afterwards. Prints one line of JSON for the device, then one for each batch. Asked for by `gpu.bench.ts`, whose flags it takes.
 */
import { execFileSync } from 'node:child_process';

import * as tf from '@tensorflow/tfjs-core';

import type { GpuBackend } from '../../src/core/backend/webgpu-kernels/gpu.js';
import type { DevicePeak } from '../../src/core/backend/profile/device-peak.js';
import { measurePeak, peakEffort } from '../../src/core/backend/profile/device-peak.js';
import { estimateMemory } from '../../src/core/distill/memory-estimate.js';
import { backendMemory, stepSizes } from '../../src/core/distill/step-sizes.js';
import { prepareBackend, preparePrecision } from '../../src/core/pipeline/prepare-backend.js';
import { describeProfile } from '../../src/core/train/profile.js';
import type { StepReport } from '../../src/core/train/step.js';
import { silentReporter } from '../../src/core/types.js';
import { planningLimits, startDryGpu } from './dry-gpu.js';
import { readGpuFlags } from './gpu-flags.js';
import { watchMemory } from './gpu-memory.js';
import { rooflineOf } from './roofline.js';
import { quantile, summary } from './statistics.js';
import { countStep } from './step-counts.js';
import { openSyntheticStep } from './synthetic-step.js';

/** Timed steps of a batch, as far as its time allows. */
const [LEAST_STEPS, MOST_STEPS] = [3, 20];

const flags = readGpuFlags();
const [timeSteps, preset, recompute, precision] = [flags.timeSteps[0]!, flags.presets[0]!, flags.recompute[0]!, flags.precision[0]!];
const say = (line: object): void => { process.stdout.write(`${JSON.stringify(line)}\n`); };

/** Memory in use on the first NVIDIA card, whoever uses it [bytes]; null where that cannot be asked. */
function cardMemory(): number | null {
  try {
    const text = execFileSync('nvidia-smi', ['--query-gpu=memory.used', '--format=csv,noheader,nounits'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return Number(text.split('\n')[0]) * 2 ** 20;
  } catch {
    return null;
  }
}

async function start(): Promise<{ device: string; peak: DevicePeak | null }> {
  if (flags.dry) {
    await startDryGpu(flags.deviceLimits);
    return { device: 'none: launches are planned and counted, nothing is computed', peak: null };
  }
  const backend = await prepareBackend('webgpu');
  if (precision === 'mixed') await preparePrecision({ precision: 'mixed' }, backend, { ...silentReporter, notice: (text) => { notices.push(text); } });
  return { device: backend.device, peak: await measurePeak(peakEffort({ isGpu: true, isEmulated: backend.capabilities.software })) };
}

const notices: string[] = [];
const idleCardBytes = cardMemory();
const { device, peak } = await start();
const memory = watchMemory();
const began = performance.now();
const synthetic = await openSyntheticStep(flags.shape, {
  preset, timeSteps, recompute, precision, context: flags.context, overrides: flags.set, weights: flags.dry ? 'zero' : flags.calibrated ? 'calibrated' : 'random',
});
const { limits } = (tf.backend() as unknown as GpuBackend).device;
say({ device, peak, notices, limits: planningLimits(limits), parameters: synthetic.parameters, startMs: performance.now() - began });

const meanRate = ({ rates }: StepReport): number => rates.reduce((sum, { rate }) => sum + rate, 0) / rates.length;

async function timeBatch(batch: number): Promise<{ times: number[]; report: StepReport }> {
  const times: number[] = [];
  let report: StepReport | null = null;
  const end = performance.now() + 1000 * flags.secondsPerBatch;
  while (times.length < LEAST_STEPS || (performance.now() < end && times.length < MOST_STEPS)) {
    const from = performance.now();
    report = await synthetic.step(batch);
    times.push(performance.now() - from);
  }
  return { times, report: report! };
}

/** Processor time of steps of which nothing is computed: what it takes to plan and record one [ms]. */
async function recordSteps(batch: number): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < MOST_STEPS; i++) {
    const before = process.cpuUsage();
    await synthetic.step(batch);
    const { user, system } = process.cpuUsage(before);
    times.push((user + system) / 1000);
  }
  return times;
}

async function measureBatch(batch: number): Promise<object> {
  const firstFrom = performance.now();
  await synthetic.step(batch);
  const firstStepMs = performance.now() - firstFrom;
  memory.restart(); // after the first step, which uploads what was made in ordinary memory
  const { counts, profile } = await countStep(async () => { await synthetic.step(batch); });
  const tokensPerStep = batch * flags.context;
  const { peakBytes: estimatedPeakBytes } = estimateMemory(stepSizes({ ...synthetic.config, train: { ...synthetic.config.train, batch } }, synthetic.teacher, backendMemory()));
  const bytes = { estimatedPeakBytes, peakUsedBytes: memory.peakUsedBytes(), peakAllocatedBytes: memory.peakAllocatedBytes() };
  if (peak === null) {
    const roofline = rooflineOf(profile.kernels, flags.limits);
    return { ...counts, ...bytes, recordMs: summary(await recordSteps(batch)), roofline, rooflineTokensPerSecond: 1000 * tokensPerStep / roofline.ms, kernels: profile.kernels };
  }
  const { times, report } = await timeBatch(batch);
  return {
    tokensPerSecond: 1000 * tokensPerStep / quantile(times, 0.5), stepMs: summary(times), steps: times.length, firstStepMs, ...counts, ...bytes,
    cardBytes: cardMemory(), idleCardBytes, loss: report.loss, isSkipped: report.isSkipped, meanRate: meanRate(report),
    rooflineOnMeasuredPeak: rooflineOf(profile.kernels, peak),
    profile: describeProfile({ ...profile, steps: 1 }, { backend: 'webgpu', device, tokensPerStep, peak }),
  };
}

for (const batch of flags.batches) {
  try {
    say({ batch, ...await measureBatch(batch) });
  } catch (error) {
    say({ batch, error: error instanceof Error ? error.message : String(error) });
    break;
  }
}
tf.engine().disposeVariables();
process.exit(0); // a device that is out of memory may never settle its last promises
