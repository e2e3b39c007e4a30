/**
 * Loss curves of a distillation with float32 products and with products of inputs rounded to float16 (emulated on wasm, bit for bit what scaling and
 * rounding do), same seed, side by side; and how large the gradients are that enter products, as a histogram of binary orders.
 *   npx tsx bench/mixed-precision.ts --config configs/distill/stories.yaml --steps 200 [--every 20] [--set a.b=c]
 */
import { parseArgs } from 'node:util';

import { loadDistillConfig } from '../src/core/config/load.js';
import { teacherFolder } from '../src/core/config/shipped.js';
import { loadRunCorpus } from '../src/core/pipeline/corpus.js';
import { createDistillation, distillationBatches } from '../src/core/pipeline/distillation.js';
import { prepareBackend } from '../src/core/pipeline/prepare-backend.js';
import { liveRunTeacher } from '../src/core/pipeline/run-teacher.js';
import { uploadTeacher } from '../src/core/teacher/parameters.js';
import { loadTeacher } from '../src/core/teacher/weights.js';
import { loadTokenizer } from '../src/core/tokenizer/load.js';
import { initAdam } from '../src/core/train/optimizer.js';
import type { PassRunner } from '../src/core/train/passes.js';
import { mixedRunner, soloRunner } from '../src/core/train/passes.js';
import { learningRateAt } from '../src/core/train/schedule.js';
import { trainStep } from '../src/core/train/step.js';
import { silentReporter } from '../src/core/types.js';
import { emulateHalfProducts } from '../test/support/half-emulation.js';

const { values: flags } = parseArgs({
  options: { config: { type: 'string' }, steps: { type: 'string', default: '200' }, every: { type: 'string', default: '20' }, set: { type: 'string', multiple: true, default: [] } },
});
if (flags.config === undefined) throw new Error('--config FILE is missing; e.g. --config configs/distill/stories.yaml');
const config = await loadDistillConfig({ file: flags.config, overrides: [...flags.set, `train.steps=${flags.steps}`, 'backend=wasm'] });
await prepareBackend('wasm');

/** Counts of magnitudes by binary order, and how many are zero. */
const orders = new Map<number, number>();
let zeros = 0;
/** The widest distance, in binary orders, of a tensor's largest magnitude from the smallest that makes up 99.9 % of its sum of squares. */
let widest = 0;
let [spread, below] = [0, 0];
emulateHalfProducts((kernel, input, values) => {
  if (!(kernel === 'BispikSpikeMatMulGradW' && input === 'dy')) return;
  const largest = values.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  for (const x of values) {
    if (x === 0) { zeros++; continue; }
    const order = Math.floor(Math.log2(Math.abs(x)));
    orders.set(order, (orders.get(order) ?? 0) + 1);
    const distance = Math.floor(Math.log2(largest)) - order;
    widest = Math.max(widest, distance);
    spread++;
    if (distance > 28) below++;
  }
});

async function curve(runner: PassRunner): Promise<{ losses: number[]; valid: number; skipped: number }> {
  const folder = teacherFolder(config.teacher);
  const corpus = await loadRunCorpus(config.corpus, await loadTokenizer(folder), config.train.context);
  const teacher = liveRunTeacher(uploadTeacher(await loadTeacher(folder)), []);
  const ctx = { reporter: silentReporter, signal: new AbortController().signal };
  const task = await createDistillation({ config, teacher, trainTokens: corpus.train, ctx, exportStudent: () => Promise.resolve() }, false);
  const batches = distillationBatches(corpus.train, config);
  const losses: number[] = [];
  let [state, skipped] = [initAdam(task.parameters), 0];
  for (let step = 1; step <= config.train.steps; step++) {
    const options = { adam: config.train, clipNorm: config.train.clipNorm, learningRate: learningRateAt(step, config.train), hasTermNorms: false, runner };
    const next = await trainStep(task, { batches: Array.from({ length: config.train.accumulate }, () => batches.next()), state }, options);
    state = next.state;
    losses.push(next.report.loss);
    skipped += Number(next.report.isSkipped);
  }
  return { losses, valid: await task.validNll(corpus.windows.slice(0, 64)), skipped };
}

const [float32, mixed] = [await curve(soloRunner), await curve(mixedRunner)];
const every = Number(flags.every);
console.log('| step | float32 | mixed |\n| --- | --- | --- |');
for (let step = every; step <= config.train.steps; step += every) {
  const mean = (losses: readonly number[]): string => (losses.slice(step - every, step).reduce((sum, loss) => sum + loss, 0) / every).toFixed(4);
  console.log(`| ${step - every + 1}–${step} | ${mean(float32.losses)} | ${mean(mixed.losses)} |`);
}
console.log(`| valid | ${float32.valid.toFixed(4)} | ${mixed.valid.toFixed(4)} |\n\nskipped: ${float32.skipped}, ${mixed.skipped}`);
const total = [...orders.values()].reduce((sum, count) => sum + count, 0);
const sorted = [...orders].sort(([x], [y]) => y - x);
console.log(`dy of weight gradients: ${total + zeros} numbers, ${(100 * zeros / (total + zeros)).toFixed(1)} % zero; binary orders of the others:`);
for (const [order, count] of sorted) if (count / total >= 0.0005) console.log(`  2^${order}: ${(100 * count / total).toFixed(2)} %`);
console.log(`largest 2^${sorted[0]?.[0]}, smallest 2^${sorted.at(-1)?.[0]}; more than 28 orders below their tensor's largest: ${below} of ${spread} (widest ${widest})`);
