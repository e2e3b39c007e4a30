/**
 * Whole distillation steps (forward, backward, clipping, AdamW) beside the same step in plain PyTorch on one thread, interleaved:
 *   npm run --silent bench:train -- --config configs/distill/shakespeare.yaml --steps 30 [--synthetic] [--set a.b=c] [--json]
 * `--synthetic` needs no teacher folder and no corpus: a random teacher (--hidden-size, --layers, --heads, --vocab-size) on random
 * tokens. docs/performance.md says what the numbers mean.
 */
import { parseArgs } from 'node:util';

import type * as tf from '@tensorflow/tfjs-core';

import { loadDistillConfig } from '../src/core/config/load.js';
import type { DistillConfig } from '../src/core/config/schema.js';
import { teacherFolder } from '../src/core/config/shipped.js';
import { createRandom } from '../src/core/corpus/random.js';
import { estimateMemory } from '../src/core/distill/memory-estimate.js';
import { backendMemory, stepSizes } from '../src/core/distill/step-sizes.js';
import { studentConfigOf } from '../src/core/distill/student-config.js';
import { loadRunCorpus } from '../src/core/pipeline/corpus.js';
import { createDistillation, distillationBatches } from '../src/core/pipeline/distillation.js';
import { liveRunTeacher } from '../src/core/pipeline/run-teacher.js';
import { prepareBackend } from '../src/core/pipeline/prepare-backend.js';
import { initTeacher } from '../src/core/teacher/init.js';
import type { Teacher } from '../src/core/teacher/parameters.js';
import { uploadTeacher } from '../src/core/teacher/parameters.js';
import { loadTeacher } from '../src/core/teacher/weights.js';
import { loadTokenizer } from '../src/core/tokenizer/load.js';
import { initAdam } from '../src/core/train/optimizer.js';
import { soloRunner } from '../src/core/train/passes.js';
import { trainStep } from '../src/core/train/step.js';
import type { TrainingTask } from '../src/core/train/task.js';
import { silentReporter } from '../src/core/types.js';
import { countTraffic } from './support/kernel-traffic.js';
import type { StepTimes } from './support/torch-peer.js';
import { startTorchPeer } from './support/torch-peer.js';

/** Steps of one side before the other has its turn. */
const TURN = 5;
const WARM_UP = 6;

const { values: flags } = parseArgs({
  options: {
    config: { type: 'string' }, steps: { type: 'string', default: '30' }, set: { type: 'string', multiple: true, default: [] },
    synthetic: { type: 'boolean', default: false }, json: { type: 'boolean', default: false },
    'hidden-size': { type: 'string', default: '64' }, layers: { type: 'string', default: '3' }, heads: { type: 'string', default: '2' },
    'vocab-size': { type: 'string', default: '512' },
  },
});
if (flags.config === undefined) throw new Error('--config FILE is missing; e.g. --config configs/distill/shakespeare.yaml');

/** Teacher and tokens: those of the configuration, or random ones. */
async function material(config: DistillConfig): Promise<{ teacher: Teacher; tokens: Int32Array }> {
  if (!flags.synthetic) {
    const folder = teacherFolder(config.teacher);
    const corpus = await loadRunCorpus(config.corpus, await loadTokenizer(folder), config.train.context);
    return { teacher: uploadTeacher(await loadTeacher(folder)), tokens: corpus.train };
  }
  const random = createRandom(config.seed);
  const hiddenSize = Number(flags['hidden-size']);
  const shape = { vocabSize: Number(flags['vocab-size']), hiddenSize, layers: Number(flags.layers), heads: Number(flags.heads), feedForwardSize: 4 * hiddenSize };
  const teacher = initTeacher({ ...shape, contextLength: config.train.context, bosId: null, eosId: null, padId: null }, random);
  const windows = Math.max(config.calibration.sequences, config.train.batch) + 1;
  return { teacher, tokens: Int32Array.from({ length: windows * (config.train.context + 1) }, () => random.integer(shape.vocabSize)) };
}

/** Steps as the trainer makes them, one after the other. */
function stepper(task: TrainingTask, config: DistillConfig, tokens: Int32Array): { step: () => Promise<void>; moments: () => tf.Tensor[] } {
  const { beta1, beta2, epsilon, weightDecay, clipNorm, learningRate, accumulate } = config.train;
  const options = { adam: { beta1, beta2, epsilon, weightDecay }, learningRate: learningRate / 10, clipNorm, hasTermNorms: false, runner: soloRunner };
  const batches = distillationBatches(tokens, config);
  let state = initAdam(task.parameters);
  const step = async (): Promise<void> => {
    const next = await trainStep(task, { batches: Array.from({ length: accumulate }, () => batches.next()), state }, options);
    state = next.state;
  };
  return { step, moments: () => [...state.mean.values(), ...state.square.values()] };
}

async function timeSteps(step: () => Promise<void>, count: number): Promise<StepTimes> {
  const times = { wallMs: [] as number[], processorMs: [] as number[] };
  for (let i = 0; i < count; i++) {
    const [start, startProcessor] = [performance.now(), process.cpuUsage()];
    await step();
    const { user, system } = process.cpuUsage(startProcessor);
    times.wallMs.push(performance.now() - start);
    times.processorMs.push((user + system) / 1000);
  }
  return times;
}

function quantile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.round(share * (sorted.length - 1))] ?? Number.NaN;
}

interface Summary { readonly min: number; readonly median: number; readonly max: number }
const summary = (samples: readonly number[]): Summary => ({ min: quantile(samples, 0), median: quantile(samples, 0.5), max: quantile(samples, 1) });

/** Both sides in turn, so that what else the machine does falls on both; one ratio a round. */
async function measure(ours: (steps: number) => Promise<StepTimes>, theirs: ((steps: number) => Promise<StepTimes>) | null) {
  const rounds: { own: StepTimes; other: StepTimes | null }[] = [];
  for (let done = 0; done < Number(flags.steps); done += TURN) rounds.push({ own: await ours(TURN), other: theirs === null ? null : await theirs(TURN) });
  const ratio = (key: keyof StepTimes): Summary | null =>
    theirs === null ? null : summary(rounds.map(({ own, other }) => quantile(own[key], 0.5) / quantile(other?.[key] ?? [], 0.5)));
  const all = (side: 'own' | 'other', key: keyof StepTimes): number[] => rounds.flatMap((round) => [...(round[side]?.[key] ?? [])]);
  return {
    ours: { stepMs: summary(all('own', 'wallMs')), processorMs: summary(all('own', 'processorMs')) },
    theirs: theirs === null ? null : { stepMs: summary(all('other', 'wallMs')), processorMs: summary(all('other', 'processorMs')) },
    ratios: { step: ratio('wallMs'), processor: ratio('processorMs') },
    tokenRates: all('own', 'wallMs').map((ms) => 1000 / ms),
  };
}

const config = await loadDistillConfig({ file: flags.config, overrides: flags.set });
const backend = await prepareBackend(config.backend);
const { teacher, tokens } = await material(config);
const task = await createDistillation({
  config, teacher: liveRunTeacher(teacher, []), trainTokens: tokens, exportStudent: async () => undefined, ctx: { reporter: silentReporter, signal: new AbortController().signal },
}, false);
const { step, moments } = stepper(task, config, tokens);
for (let i = 0; i < WARM_UP; i++) await step();
const traffic = await countTraffic(step, [...task.parameters.values(), ...teacher.parameters.values(), ...moments()]);

const student = studentConfigOf(config, teacher.config);
const { batch, context, accumulate } = config.train;
const peer = accumulate > 1 ? 'it has no gradient accumulation' : await startTorchPeer({
  'd-model': student.hiddenSize, 'feed-forward': student.feedForwardSize, layers: student.layers, heads: student.heads,
  context, batch, 'time-steps': student.neuron.timeSteps, vocab: student.vocabSize,
}, config.student.preset);
await step();
const result = await measure((steps) => timeSteps(step, steps), typeof peer === 'string' ? null : peer.run);
if (typeof peer !== 'string') peer.close();

const perStep = batch * context * accumulate;
const document = {
  backend: backend.name, device: backend.device,
  tokensPerSecond: perStep * quantile(result.tokenRates, 0.5),
  spread: (perStep * (quantile(result.tokenRates, 0.75) - quantile(result.tokenRates, 0.25))) / 2,
  stepMs: result.ours.stepMs, processorMs: result.ours.processorMs,
  peakBytes: traffic.peakBytes,
  estimateBytes: estimateMemory(stepSizes(config, teacher.config, backendMemory())).peakBytes,
  bytesMovedPerStep: traffic.bytesMoved, dispatchesPerStep: traffic.dispatches,
  peer: {
    plainTorch: typeof peer === 'string' || result.theirs === null ? null : { implementation: peer.implementation, threads: 1, ...result.theirs },
    skipped: typeof peer === 'string' ? peer : null,
    ratios: result.ratios,
  },
};
task.dispose();

if (flags.json) {
  process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
} else {
  const cells = (s: Summary | null | undefined, digits: number): string => (s == null ? ['–', '–', '–'] : [s.min, s.median, s.max].map((x) => x.toFixed(digits))).map((x) => x.padStart(9)).join('');
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
  process.stdout.write([
    `${document.backend} on ${document.device}`,
    `${document.tokensPerSecond.toFixed(0)} ± ${document.spread.toFixed(0)} tokens/s; peak ${megabytes(document.peakBytes)} (estimate ${megabytes(document.estimateBytes)}); ${megabytes(document.bytesMovedPerStep)} moved by ${document.dispatchesPerStep} kernels a step`,
    `${''.padEnd(28)}${['min', 'median', 'max'].map((x) => x.padStart(9)).join('')}`,
    `${'step, ms'.padEnd(28)}${cells(document.stepMs, 1)}`, `${'  processor, ms'.padEnd(28)}${cells(document.processorMs, 1)}`,
    `${'plain PyTorch step, ms'.padEnd(28)}${cells(document.peer.plainTorch?.stepMs, 1)}`, `${'  processor, ms'.padEnd(28)}${cells(document.peer.plainTorch?.processorMs, 1)}`,
    `${'ours / PyTorch, step'.padEnd(28)}${cells(document.peer.ratios.step, 2)}`, `${'  processor'.padEnd(28)}${cells(document.peer.ratios.processor, 2)}`,
    ...(document.peer.skipped === null ? [] : [`no PyTorch beside it: ${document.peer.skipped}`]), '',
  ].join('\n'));
}
