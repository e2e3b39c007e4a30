/**
 * Several threads beside one, in turns on the same engine, and what the engine does by itself:
 *   npm run --silent bench:threads -- FOLDER… [--threads 2] [--precision int8] [--rounds 40]
 * FOLDER is a student, e.g. one that bench:engine kept with --model. Prints one JSON document: ratios of times, above 1 threads are faster.
 */
import { basename } from 'node:path';
import { parseArgs } from 'node:util';

import { createRandom } from '../src/core/corpus/random.js';
import { openEngine } from '../src/core/engine/open-engine.js';
import type { Pace, Who } from '../src/core/engine/pace.js';
import { describeCommit, describeMachine } from './support/machine.js';
import type { Precision } from './support/open-engine.js';
import { randomTokens } from './support/random-student.js';
import type { Summary } from './support/statistics.js';
import { summary } from './support/statistics.js';

/** Tokens before the decoded ones, and of a prefill; tokens of one turn of decoding. */
const [CONTEXT, TURN] = [112, 32];
/** Turns before the first that counts: the kernels are still being compiled. */
const WARM_UP = 6;

const { values: flags, positionals: folders } = parseArgs({
  options: { threads: { type: 'string', default: '2' }, precision: { type: 'string', default: 'int8' }, rounds: { type: 'string', default: '40' } }, allowPositionals: true,
});
if (folders.length === 0) throw new Error('FOLDER of a student is missing');

async function compare(folder: string): Promise<Record<string, unknown>> {
  let who: Who = 'all';
  const pace: Pace = { run: (crew, job) => crew.run(job, who) };
  const model = await openEngine({ folder, precision: flags.precision as Precision, threads: Number(flags.threads), notice: () => undefined, pace });
  const random = createRandom(2);
  const prompt = randomTokens(model.shape, CONTEXT, random);
  const prefix = model.openSession();
  await prefix.append(prompt);
  const decode = async (): Promise<number> => {
    const session = prefix.fork();
    const ids = randomTokens(model.shape, TURN, random);
    const begin = performance.now();
    for (const id of ids) await session.append([id]);
    const took = performance.now() - begin;
    session.dispose();
    return took;
  };
  const prefill = async (): Promise<number> => {
    const session = model.openSession();
    const begin = performance.now();
    await session.append(prompt);
    const took = performance.now() - begin;
    session.dispose();
    return took;
  };
  const ratios = async (turn: () => Promise<number>, rounds: number): Promise<Summary> => {
    const found: number[] = [];
    for (let round = -WARM_UP; round < rounds; round++) {
      who = 'all';
      const together = await turn();
      who = 'alone';
      const alone = await turn();
      if (round >= 0) found.push(alone / together);
    }
    return summary(found);
  };
  const result = { student: basename(folder), decode: await ratios(decode, Number(flags.rounds)), prefill: await ratios(prefill, Number(flags.rounds) / 4) };
  model.dispose();
  return result;
}

const machine = describeMachine();
const students = [];
for (const folder of folders) students.push(await compare(folder));
process.stdout.write(`${JSON.stringify({ commit: describeCommit(), machine, threads: Number(flags.threads), precision: flags.precision, students }, null, 2)}\n`);
