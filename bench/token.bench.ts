/**
 * Where the time of a decoded token goes, by a clock around every kernel, and how near it is to the speed of the memory:
 *   npm run --silent bench:token -- FOLDER… [--precision int8] [--contexts 128]
 * FOLDER is a student, e.g. one that bench:engine kept with --model. One thread. Prints one JSON document.
 */
import { basename } from 'node:path';
import { parseArgs } from 'node:util';

import { createRandom } from '../src/core/corpus/random.js';
import { soloCrew } from '../src/core/engine/crew.js';
import type { EngineModel } from '../src/core/engine/engine.js';
import { createEngine, createMachine } from '../src/core/engine/engine.js';
import { instantiateEngine } from '../src/core/engine/instantiate.js';
import type { EngineKernels, KernelName } from '../src/core/engine/kernels.js';
import { KERNEL_NAMES } from '../src/core/engine/kernels.js';
import { createMemory } from '../src/core/engine/memory.js';
import { openPacked } from '../src/core/engine/pack-cache.js';
import { createPace } from '../src/core/engine/pace.js';
import type { WorkDone } from '../src/core/types.js';
import { describeCommit, describeMachine } from './support/machine.js';
import { randomTokens } from './support/random-student.js';
import { readSpeed } from './support/read-speed.js';
import type { Precision } from './support/open-engine.js';
import { quantile } from './support/statistics.js';

/** What the kernels belong to. */
const PARTS = ['rows', 'neurons', 'attention', 'head', 'stream'] as const;
type PartName = (typeof PARTS)[number];
type Spent = Record<PartName, number>;

const TOKENS = 48;

const { values: flags, positionals: folders } = parseArgs({
  options: { precision: { type: 'string', default: 'int8' }, contexts: { type: 'string', default: '128' } }, allowPositionals: true,
});
if (folders.length === 0) throw new Error('FOLDER of a student is missing');

function partOf(name: KernelName): PartName {
  if (/^addRows/.test(name)) return 'rows';
  if (/^fire/.test(name)) return 'neurons';
  if (/^(attend|storeHeads)/.test(name)) return 'attention';
  return /^(head|quantise|readout)/.test(name) ? 'head' : 'stream';
}

/** The kernels with a clock around each. */
function timed(kernels: EngineKernels, spent: Spent): EngineKernels {
  const entries = KERNEL_NAMES.map((name): [string, unknown] => {
    const kernel = kernels[name] as (...args: number[]) => unknown;
    const part = partOf(name);
    return [name, (...args: number[]) => {
      const begin = performance.now();
      const result = kernel(...args);
      spent[part] += performance.now() - begin;
      return result;
    }];
  });
  return Object.fromEntries(entries) as unknown as EngineKernels;
}

/** A student twice: with a clock around each kernel, and without, since a clock takes time itself. */
async function open(folder: string, spent: Spent | null): Promise<EngineModel> {
  const memory = createMemory(false);
  const { weights } = await openPacked(folder, flags.precision as Precision, (bytes) => memory.bytes(memory.allocate(bytes), bytes));
  const kernels = await instantiateEngine(memory.memory);
  const machine = createMachine(weights, memory, { kernels: spent === null ? kernels : timed(kernels, spent), threads: 1 });
  return createEngine({ machine, memory, crew: soloCrew(machine), pace: createPace(() => 0, 'alone') });
}

const bytesOf = ({ weightBytes, headBytes, cacheBytes }: WorkDone): number => weightBytes + headBytes + cacheBytes;

async function atContext(folder: string, context: number, fastest: number): Promise<Record<string, unknown>> {
  const spent: Spent = { rows: 0, neurons: 0, attention: 0, head: 0, stream: 0 };
  const [plain, clocked] = [await open(folder, null), await open(folder, spent)];
  const random = createRandom(2);
  const prompt = randomTokens(plain.shape, context - TOKENS, random);
  const sessions = [plain, clocked].map((model) => model.openSession());
  for (const session of sessions) await session.append(prompt);
  const whole: number[] = [];
  const parts = Object.fromEntries(PARTS.map((name) => [name, [] as number[]])) as Record<PartName, number[]>;
  let [spikes, slots] = [0, 0];
  const before = bytesOf(plain.work);
  for (const id of randomTokens(plain.shape, TOKENS, random)) {
    const begin = performance.now();
    const { counts } = await sessions[0]!.append([id]);
    whole.push(performance.now() - begin);
    for (const site of counts?.sites ?? []) if (site.site === 'attention') [spikes, slots] = [spikes + site.spikes, slots + site.slots];
    for (const name of PARTS) spent[name] = 0;
    await sessions[1]!.append([id]);
    for (const name of PARTS) parts[name].push(spent[name]);
  }
  const tokenMs = quantile(whole, 0.5);
  const megabytes = (bytesOf(plain.work) - before) / TOKENS / 1e6;
  const inParts = Object.fromEntries(PARTS.map((name) => [name, quantile(parts[name], 0.5)])) as Spent;
  const found = {
    student: basename(folder), context, timeSteps: plain.timeSteps, tokenMs, parts: inParts, attentionDensity: spikes / slots,
    megabytesRead: megabytes, gigabytesPerSecond: megabytes / tokenMs, shareOfReadSpeed: megabytes / tokenMs / fastest,
  };
  plain.dispose();
  clocked.dispose();
  return found;
}

const machine = describeMachine();
const fastest = await readSpeed();
const tokens = [];
for (const folder of folders) for (const context of flags.contexts.split(',').map(Number)) tokens.push(await atContext(folder, context, fastest));
process.stdout.write(`${JSON.stringify({ commit: describeCommit(), machine, precision: flags.precision, readGigabytesPerSecond: fastest, tokens }, null, 2)}\n`);
