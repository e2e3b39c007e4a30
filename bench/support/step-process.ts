/**
 * A process that makes whole distillation steps when asked: every line with a number is answered by the times of that many steps, and by
 * how long the busiest thread computed for one of them, as one line of JSON. It runs the built program, as its users do: in sources that are translated while they
 * are loaded, every closure costs a call more. `--root FOLDER` takes program, configuration and teacher from another checkout, which may be older than this file.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

import type * as ConfigLoad from '../../src/core/config/load.js';
import type * as ConfigShipped from '../../src/core/config/shipped.js';
import type * as PipelineCorpus from '../../src/core/pipeline/corpus.js';
import type * as PipelineDistillation from '../../src/core/pipeline/distillation.js';
import type * as PipelinePrepareBackend from '../../src/core/pipeline/prepare-backend.js';
import type * as PipelineRunFolder from '../../src/core/pipeline/run-folder.js';
import type * as PipelineRunTeacher from '../../src/core/pipeline/run-teacher.js';
import type * as TeacherParameters from '../../src/core/teacher/parameters.js';
import type * as TeacherWeights from '../../src/core/teacher/weights.js';
import type * as TokenizerLoad from '../../src/core/tokenizer/load.js';
import type * as TrainOptimizer from '../../src/core/train/optimizer.js';
import type * as TrainStep from '../../src/core/train/step.js';
import type * as PipelineTrainingThreads from '../../src/core/pipeline/training-threads.js';

const { values: flags } = parseArgs({
  options: { root: { type: 'string' }, config: { type: 'string' }, threads: { type: 'string', default: '1' }, set: { type: 'string', multiple: true, default: [] } },
});
const root = flags.root ?? join(import.meta.dirname, '../..');
process.chdir(root);
const from = (path: string): Promise<unknown> => import(join(root, 'dist/src/core', path));

const { loadDistillConfig } = await from('config/load.js') as typeof ConfigLoad;
const { teacherFolder } = await from('config/shipped.js') as typeof ConfigShipped;
const { loadRunCorpus } = await from('pipeline/corpus.js') as typeof PipelineCorpus;
const { createDistillation, distillationBatches } = await from('pipeline/distillation.js') as typeof PipelineDistillation;
const { prepareBackend } = await from('pipeline/prepare-backend.js') as typeof PipelinePrepareBackend;
const { uploadTeacher } = await from('teacher/parameters.js') as typeof TeacherParameters;
const { loadTeacher } = await from('teacher/weights.js') as typeof TeacherWeights;
const { loadTokenizer } = await from('tokenizer/load.js') as typeof TokenizerLoad;
const { initAdam } = await from('train/optimizer.js') as typeof TrainOptimizer;
const { trainStep } = await from('train/step.js') as typeof TrainStep;

const threads = Number(flags.threads);
const reporter = { progress: () => undefined, notice: () => undefined };
const config = await loadDistillConfig({ file: flags.config as string, overrides: ['backend=wasm', ...flags.set] });
const backend = await prepareBackend(config.backend);
const folder = teacherFolder(config.teacher);
const tokenizer = await loadTokenizer(folder);
const corpus = await loadRunCorpus(config.corpus, tokenizer, config.train.context);
const weights = await loadTeacher(folder);
const ctx = { reporter, signal: new AbortController().signal };
const teacher = await openTeacher();
const task = await createDistillation({
  config, teacher: teacher ?? uploadTeacher(weights) as never, trainTokens: corpus.train, exportStudent: async () => undefined, ctx,
}, false);
const options = { adam: config.train, learningRate: config.train.learningRate / 10, clipNorm: config.train.clipNorm, hasTermNorms: false, runner: await openRunner() };
const stream = distillationBatches(corpus.train, config);
const batches = teacher?.batches(stream) ?? stream;
let state = initAdam(task.parameters);

/** Null before there were teacher caches, when a teacher was always the one that runs. */
async function openTeacher() {
  const teachers = await from('pipeline/run-teacher.js').catch(() => null) as typeof PipelineRunTeacher | null;
  if (teachers === null) return null;
  const { runProvenance } = await from('pipeline/run-folder.js') as typeof PipelineRunFolder;
  return teachers.openRunTeacher({ config, weights, tokenizerSha256: tokenizer.hash, corpus, provenance: await runProvenance(backend, config.seed) }, ctx);
}

/** Null before there were runners, which have one thread. */
async function openRunner() {
  const threading = await from('pipeline/training-threads.js').catch(() => null) as typeof PipelineTrainingThreads | null;
  if (threading === null) return null as never;
  return threading.openRunner(task, { threads, backend, plan: { kind: 'distill', backend: backend.name, config }, reporter });
}

/** Nanoseconds that every thread of this process has computed, as Linux counts them; empty elsewhere. */
function threadTimes(): Map<string, number> {
  const folder = '/proc/self/task';
  try {
    return new Map(readdirSync(folder).map((id) => [id, Number(readFileSync(join(folder, id, 'schedstat'), 'utf8').split(' ')[0])]));
  } catch {
    return new Map();
  }
}

const { batch, context, accumulate } = config.train;
process.stdout.write(`${JSON.stringify({ device: backend.device, batch, accumulate, context, threads })}\n`);
for await (const line of createInterface({ input: process.stdin })) {
  const times = { wallMs: [] as number[], processorMs: [] as number[] };
  const before = threadTimes();
  for (let i = 0; i < Number(line); i++) {
    const [start, startProcessor] = [performance.now(), process.cpuUsage()];
    ({ state } = await trainStep(task, { batches: Array.from({ length: accumulate }, () => batches.next()), state }, options));
    const { user, system } = process.cpuUsage(startProcessor);
    times.wallMs.push(performance.now() - start);
    times.processorMs.push((user + system) / 1000);
  }
  const busiest = Math.max(...Array.from(threadTimes(), ([id, time]) => time - (before.get(id) ?? 0)));
  process.stdout.write(`${JSON.stringify({ ...times, busiestThreadMs: [busiest / 1e6 / Number(line)] })}\n`);
}
await options.runner?.dispose();
