import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import * as tf from '@tensorflow/tfjs-core';

import type { TeacherConfig } from '../config/schema.js';
import { createBatches } from '../corpus/batches.js';
import { createRandom, deriveSeed } from '../corpus/random.js';
import { readCorpus } from '../corpus/tokens.js';
import { checkThreads } from '../engine/crew.js';
import { initTeacher } from '../teacher/init.js';
import { downloadTeacher } from '../teacher/parameters.js';
import { createTeacherTask } from '../teacher/training-task.js';
import { writeTeacher } from '../teacher/weights.js';
import type { Tokenizer } from '../tokenizer/load.js';
import { loadTokenizer } from '../tokenizer/load.js';
import { trainBytePairTokenizer } from '../tokenizer/train-bpe.js';
import { writeTokenizer } from '../tokenizer/write.js';
import type { PassRunner } from '../train/passes.js';
import type { TrainReport } from '../train/report.js';
import { requireLearned } from '../train/report.js';
import { holdsCheckpoints } from '../train/run.js';
import type { TrainingTask } from '../train/task.js';
import { trainModel } from '../train/trainer.js';
import type { RunContext } from '../types.js';
import type { RunCorpus } from './corpus.js';
import { prepareCorpus } from './corpus.js';
import { explainMemory, planTeacherMemory } from './plan-memory.js';
import { prepareBackend, preparePrecision } from './prepare-backend.js';
import { createRunFolder, runIdentity, runProvenance } from './run-folder.js';
import { copyTokenizer, hasTokenizer } from './tokenizer-files.js';
import { openRunner, trainingThreads } from './training-threads.js';

/** Result of `bispik train-teacher`; the names are promised to scripts. */
export interface TrainTeacherReport {
  /** Teacher folder: the best weights. */ readonly path: string;
  readonly steps: number;
  readonly tokens: number;
  readonly valid: { readonly nll: number; readonly perplexity: number };
  readonly unigram: { readonly nll: number };
  readonly bigram: { readonly nll: number };
  /** The grammar's own loss, below which no model gets on average; null for a text. */ readonly floor: { readonly nll: number } | null;
  readonly backend: string;
  /** That shared the micro-batches of a step. */ readonly threads: number;
  readonly elapsedMs: number;
}

/** Marks the end of a text; also where a model may start. */
const END_OF_TEXT = '<|endoftext|>';
const STREAM = { start: 1, batches: 2 } as const;

/**
 * Trains a dense OPT-shaped teacher from scratch; a run that was interrupted continues when it is started again.
 * @param threads of no influence on the result; null: one for every micro-batch of a step, as far as there are cores.
 * @throws UsageError, ConfigError, FormatError, BackendError before anything is trained; Interrupted, NumericError, NothingLearnedError.
 */
export async function trainTeacher(
  { config, threads: wanted }: { readonly config: TeacherConfig; readonly threads: number | null }, ctx: RunContext,
): Promise<TrainTeacherReport> {
  if (wanted !== null) checkThreads(wanted);
  const text = await readCorpus(config.corpus);
  const backend = await prepareBackend(config.backend);
  ctx.reporter.notice(`Computing on ${backend.name} (${backend.device}): ${backend.reason}`);
  await preparePrecision(config.train, backend, ctx.reporter);
  const planned = planTeacherMemory(config, await mostTokens(config), { backend, reporter: ctx.reporter });
  const threads = trainingThreads(wanted, { backend: backend.name, accumulate: config.train.accumulate, hasProfile: false });
  await createRunFolder(config);
  const tokenizerFolder = join(config.run, 'tokenizer');
  const tokenizer = await prepareTokenizer(config, text.train, tokenizerFolder);
  const corpus = prepareCorpus(text, tokenizer, config.train.context);
  const provenance = await runProvenance(backend, config.seed);
  const hashes = { corpusSha256: corpus.sha256, tokenizerSha256: tokenizer.hash };
  const { bosId, eosId, vocabSize } = tokenizer;
  const initial = initTeacher({ ...config.model, vocabSize, bosId, eosId, padId: null }, createRandom(deriveSeed(config.seed, STREAM.start)));
  const task = createTeacherTask({
    teacher: initial, context: config.train.context, recompute: planned.config.train.recompute === 'blocks',
    exportTeacher: async (teacher, folder) => {
      await copyTokenizer(tokenizerFolder, folder);
      await writeTeacher(folder, await downloadTeacher(teacher), { source: 'train-teacher', commit: null, ...provenance, ...hashes, config });
    },
  });
  tf.dispose([...initial.parameters.values()]);
  const plan = { kind: 'teacher', backend: backend.name, config: planned.config, tokenizer: { vocabSize, bosId, eosId } } as const;
  const runner = openRunner(task, { threads, backend, plan, reporter: ctx.reporter });
  try {
    const { steps, tokens, valid, elapsedMs } = await explainMemory(planned.sizes, () => train(task, { config, corpus, identity: runIdentity(config, hashes), runner }, ctx));
    const { unigramNll, bigramNll } = corpus.baselines;
    return {
      path: teacherOf(config), steps, tokens, valid, unigram: { nll: unigramNll }, bigram: { nll: bigramNll },
      floor: corpus.trueNllPerToken === null ? null : { nll: corpus.trueNllPerToken }, backend: backend.name, threads, elapsedMs,
    };
  } finally {
    await runner.dispose();
    task.dispose();
  }
}

/** V, or what it can be where the tokenizer is yet to be trained. */
async function mostTokens({ tokenizer: { folder, vocabSize } }: TeacherConfig): Promise<number> {
  return folder === null ? vocabSize : (await loadTokenizer(folder)).vocabSize;
}

const teacherOf = (config: TeacherConfig): string => join(config.run, 'teacher');

interface Setting {
  readonly config: TeacherConfig;
  readonly corpus: RunCorpus;
  readonly identity: Record<string, unknown>;
  readonly runner: PassRunner;
}

async function train(task: TrainingTask, { config, corpus, identity, runner }: Setting, ctx: RunContext): Promise<TrainReport> {
  const { batch, context } = config.train;
  const { unigramNll } = corpus.baselines;
  const report = await trainModel(task, {
    runFolder: config.run, modelFolder: teacherOf(config), settings: config.train,
    batches: createBatches(corpus.train, { batch, context, seed: deriveSeed(config.seed, STREAM.batches) }),
    validWindows: corpus.windows, unigramNll, identity, isResumed: await holdsCheckpoints(config.run),
    resumeCommand: 'the same train-teacher command again', phase: 'train teacher', runner, profiler: null,
  }, ctx);
  requireLearned(report, { unigramNll, modelFolder: teacherOf(config) });
  return report;
}

/** The tokenizer of a model folder, or a byte-pair one trained on the corpus, copied into the run; a run that has one keeps it. */
async function prepareTokenizer(config: TeacherConfig, text: string, folder: string): Promise<Tokenizer> {
  if (await hasTokenizer(folder)) return loadTokenizer(folder);
  await mkdir(folder, { recursive: true });
  if (config.tokenizer.folder !== null) await copyTokenizer(config.tokenizer.folder, folder);
  else await writeTokenizer(folder, trainBytePairTokenizer(text, { vocabSize: config.tokenizer.vocabSize, specialTokens: [END_OF_TEXT] }));
  return loadTokenizer(folder);
}
