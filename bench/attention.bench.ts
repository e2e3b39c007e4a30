/**
 * What attention takes of a decoded token, by a clock around its two kernels, at growing contexts:
 *   npm run --silent bench:attention -- --model FOLDER [--precision int8] [--contexts 128,1024,2048]
 * FOLDER is a student, e.g. one that bench:engine kept with --model. One thread. Prints one JSON document.
 */
import { parseArgs } from 'node:util';

import { createRandom } from '../src/core/corpus/random.js';
import { soloCrew } from '../src/core/engine/crew.js';
import type { EngineModel } from '../src/core/engine/engine.js';
import { createEngine, createMachine } from '../src/core/engine/engine.js';
import { instantiateEngine } from '../src/core/engine/instantiate.js';
import type { EngineKernels } from '../src/core/engine/kernels.js';
import { createMemory } from '../src/core/engine/memory.js';
import { openPacked } from '../src/core/engine/pack-cache.js';
import { createPace } from '../src/core/engine/pace.js';
import { randomTokens } from './support/random-student.js';
import type { Precision } from './support/open-engine.js';
import { quantile } from './support/statistics.js';

const TOKENS = 24;

const { values: flags } = parseArgs({
  options: { model: { type: 'string' }, precision: { type: 'string', default: 'int8' }, contexts: { type: 'string', default: '128,1024,2048' } },
});
if (flags.model === undefined) throw new Error('--model FOLDER is missing');

/** The kernels with a clock around those of attention. */
function timed(kernels: EngineKernels, spent: { ms: number }): EngineKernels {
  const clock = <A extends number[], R>(kernel: (...args: A) => R) => (...args: A): R => {
    const begin = performance.now();
    const result = kernel(...args);
    spent.ms += performance.now() - begin;
    return result;
  };
  return { ...kernels, attend: clock(kernels.attend), storeHeads: clock(kernels.storeHeads) };
}

async function open(folder: string, spent: { ms: number }): Promise<EngineModel> {
  const memory = createMemory(false);
  const { weights } = await openPacked(folder, flags.precision as Precision, (bytes) => memory.bytes(memory.allocate(bytes), bytes));
  const machine = createMachine(weights, memory, { kernels: timed(await instantiateEngine(memory.memory), spent), threads: 1 });
  return createEngine({ machine, memory, crew: soloCrew(machine), pace: createPace(() => 0, 'alone') });
}

const spent = { ms: 0 };
const model = await open(flags.model, spent);
const random = createRandom(2);
const rows = [];
for (const context of flags.contexts.split(',').map(Number)) {
  const session = model.openSession();
  await session.append(randomTokens(model.shape, context - TOKENS, random));
  const [attention, whole]: [number[], number[]] = [[], []];
  let [spikes, slots] = [0, 0];
  for (const id of randomTokens(model.shape, TOKENS, random)) {
    spent.ms = 0;
    const begin = performance.now();
    const { counts } = await session.append([id]);
    whole.push(performance.now() - begin);
    attention.push(spent.ms);
    for (const site of counts?.sites ?? []) if (site.site === 'attention') [spikes, slots] = [spikes + site.spikes, slots + site.slots];
  }
  session.dispose();
  const [attentionMs, tokenMs] = [quantile(attention, 0.5), quantile(whole, 0.5)];
  rows.push({ context, attentionMs, tokenMs, share: attentionMs / tokenMs, density: spikes / slots });
}
process.stdout.write(`${JSON.stringify({ precision: flags.precision, timeSteps: model.timeSteps, attention: rows }, null, 2)}\n`);
