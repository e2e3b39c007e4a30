/**
 * A distillation step of another checkout beside the present one with one and with several threads, in turns:
 *   npm run --silent bench:step -- --config configs/distill/stories.yaml --before FOLDER [--threads 2] [--rounds 20] [--set a.b=c] [--set-before a.b=c]
 * FOLDER is a checkout of the older commit, installed and built (`npm ci && npm run build`), as the present one must be; each side runs its own built program and copy of the configuration. Prints one
 * JSON document; ratios of times are turn by turn, above 1 the present side (or the side with threads) is faster.
 */
import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

import { describeCommit, describeMachine } from './support/machine.js';
import { startPeer } from './support/peer.js';
import type { Summary } from './support/statistics.js';
import { quantile, summary } from './support/statistics.js';
import type { StepTimes } from './support/torch-peer.js';

/** Steps of a turn, and before the first that counts: kernels are compiled in the background. */
const [TURN, WARM_UP] = [8, 24];
const SCRIPT = new URL('support/step-process.ts', import.meta.url).pathname;

const { values: flags } = parseArgs({
  options: {
    config: { type: 'string' }, before: { type: 'string' }, threads: { type: 'string', default: '2' }, rounds: { type: 'string', default: '20' },
    set: { type: 'string', multiple: true, default: [] }, 'set-before': { type: 'string', multiple: true, default: [] },
  },
});
if (flags.config === undefined) throw new Error('--config FILE is missing; e.g. --config configs/distill/stories.yaml');

/** `busiestThreadMs`: one number a turn, the processor time of the thread that computed most; what a step takes where each thread has a core to itself. */
interface TurnTimes extends StepTimes { readonly busiestThreadMs: readonly number[] }
interface Greeting { readonly device: string; readonly batch: number; readonly accumulate: number; readonly context: number; readonly threads: number }
interface Side { readonly name: string; readonly greeting: Greeting; run(steps: number): Promise<TurnTimes>; close(): void; readonly turns: TurnTimes[] }

async function startSide(name: string, args: readonly string[], overrides: readonly string[]): Promise<Side> {
  const peer = await startPeer(process.execPath, ['--import', 'tsx', SCRIPT, '--config', flags.config as string, ...args, ...overrides.flatMap((set) => ['--set', set])]);
  return { name, greeting: peer.greeting as Greeting, run: async (steps) => (await peer.ask(String(steps))) as TurnTimes, close: peer.close, turns: [] };
}

const median = (values: readonly number[]): number => quantile(values, 0.5);

/** Times of one side over times of another, median of each turn. */
const ratio = (slow: Side, fast: Side, key: keyof TurnTimes): Summary => summary(slow.turns.map((turn, i) => median(turn[key]) / median(fast.turns[i]?.[key] ?? [])));

const { before: beforeFolder } = flags;
const machine = describeMachine();
const one = await startSide('one', ['--threads', '1'], flags.set);
const several = await startSide('several', ['--threads', flags.threads], flags.set);
const before = beforeFolder === undefined ? null : await startSide('before', ['--root', resolve(beforeFolder)], flags['set-before']);
const sides = [...(before === null ? [] : [before]), one, several];
for (const side of sides) await side.run(WARM_UP);
for (let round = 0; round < Number(flags.rounds); round++) {
  for (const side of sides) side.turns.push(await side.run(TURN));
}
for (const side of sides) side.close();

const describe = ({ greeting, turns }: Side): Record<string, unknown> => {
  const all = (key: keyof TurnTimes): number[] => turns.flatMap((turn) => [...turn[key]]);
  return {
    ...greeting, tokensPerStep: greeting.batch * greeting.accumulate * greeting.context,
    stepMs: summary(all('wallMs')), processorMs: summary(all('processorMs')), busiestThreadMs: summary(all('busiestThreadMs')),
  };
};
const compare = (slow: Side, fast: Side): Record<string, Summary> => ({
  wall: ratio(slow, fast, 'wallMs'), processor: ratio(slow, fast, 'processorMs'), busiestThread: ratio(slow, fast, 'busiestThreadMs'),
});
process.stdout.write(`${JSON.stringify({
  commit: describeCommit(),
  commitBefore: beforeFolder === undefined ? null : execFileSync('git', ['rev-parse', 'HEAD'], { cwd: beforeFolder, encoding: 'utf8' }).trim(),
  machine, config: flags.config, set: flags.set, setBefore: flags['set-before'], rounds: Number(flags.rounds), stepsPerTurn: TURN,
  before: before === null ? null : describe(before), oneThread: describe(one), threads: describe(several),
  ratios: {
    beforeToOneThread: before === null ? null : compare(before, one), beforeToThreads: before === null ? null : compare(before, several), oneThreadToThreads: compare(one, several),
  },
}, null, 2)}\n`);
