import { access } from 'node:fs/promises';
import { join } from 'node:path';

import * as tf from '@tensorflow/tfjs-core';

import { checkAgainstTeacher } from '../config/check-teacher.js';
import { loadDistillConfig } from '../config/load.js';
import type { DistillConfig } from '../config/schema.js';
import { teacherFolder } from '../config/shipped.js';
import { createBatches } from '../corpus/batches.js';
import { createRandom, deriveSeed } from '../corpus/random.js';
import { createProjections } from '../distill/projections.js';
import { spadTerms } from '../distill/spad.js';
import { studentConfigOf } from '../distill/student-config.js';
import { createDistillTask } from '../distill/training-task.js';
import { UsageError } from '../errors.js';
import { writeStudent } from '../student/folder.js';
import { parameterShapes } from '../student/parameters.js';
import { startStudent } from '../student/start.js';
import { teacherNll } from '../teacher/training-task.js';
import { uploadTeacher } from '../teacher/parameters.js';
import type { Teacher } from '../teacher/parameters.js';
import { loadTeacher } from '../teacher/weights.js';
import { loadTokenizer } from '../tokenizer/load.js';
import { requireLearned } from '../train/report.js';
import { holdsCheckpoints, requireUnusedFolder } from '../train/run.js';
import type { TrainingTask } from '../train/task.js';
import { trainModel } from '../train/trainer.js';
import type { RunContext } from '../types.js';
import type { RunCorpus } from './corpus.js';
import { loadRunCorpus } from './corpus.js';
import { prepareBackend } from './prepare-backend.js';
import type { RunProvenance } from './run-folder.js';
import { createRunFolder, RESOLVED_CONFIG, runIdentity, runProvenance } from './run-folder.js';
import { copyTokenizer } from './tokenizer-files.js';

/** Result of `bispik distill`; the names are promised to scripts. */
export interface DistillReport {
  /** Run folder. */ readonly run: string;
  /** Student folder: the best so far. */ readonly student: string;
  readonly steps: number;
  readonly tokens: number;
  readonly skippedSteps: number;
  readonly valid: { readonly nll: number; readonly perplexity: number };
  readonly teacher: { readonly nll: number };
  readonly unigram: { readonly nll: number };
  readonly bigram: { readonly nll: number };
  /** The grammar's own loss, below which no model gets on average; null for a text. */ readonly floor: { readonly nll: number } | null;
  /** Mean over sites at the last step, 0–1. */ readonly firingRate: number;
  readonly backend: string;
  readonly elapsedMs: number;
}

/** Seeds of the independent random streams of a run. */
const STREAM = { start: 1, batches: 2, calibration: 3 } as const;

/**
 * Distils a student: a new run from its configuration, or a run folder continued where it stopped.
 * @throws ConfigError, FormatError, BackendError before anything is trained; Interrupted, NumericError, NothingLearnedError.
 */
export async function distill(request: { readonly config: DistillConfig } | { readonly resume: string }, ctx: RunContext): Promise<DistillReport> {
  const isResumed = 'resume' in request;
  const config = isResumed ? await readRunConfig(request.resume) : request.config;
  if (!isResumed) await requireUnusedFolder(config.run, `bispik distill --resume ${config.run}`);
  const folder = teacherFolder(config.teacher);
  const weights = await loadTeacher(folder);
  checkAgainstTeacher(config, weights.config);
  const tokenizer = await loadTokenizer(folder);
  const corpus = await loadRunCorpus(config.corpus, tokenizer, config.train.context);
  const backend = await prepareBackend(config.backend);
  ctx.reporter.notice(`Computing on ${backend.name} (${backend.device}): ${backend.reason}`);
  if (!isResumed) await createRunFolder(config);
  const teacher = uploadTeacher(weights);
  const provenance = await runProvenance(backend, config.seed);
  const hashes = { teacherSha256: weights.sha256, corpusSha256: corpus.sha256, tokenizerSha256: tokenizer.hash };
  const setting = { config, teacher, folder, corpus, provenance, hashes, ctx };
  const task = await createTask(setting, isResumed && await holdsCheckpoints(config.run));
  try {
    return await run(task, setting, isResumed);
  } finally {
    task.dispose();
    tf.dispose([...teacher.parameters.values()]);
  }
}

interface Setting {
  readonly config: DistillConfig;
  readonly teacher: Teacher;
  readonly folder: string;
  readonly corpus: RunCorpus;
  readonly provenance: RunProvenance;
  readonly hashes: Readonly<Record<string, string>>;
  readonly ctx: RunContext;
}

/** The configuration a run was started with; its folder may have been moved since. */
async function readRunConfig(folder: string): Promise<DistillConfig> {
  const file = join(folder, RESOLVED_CONFIG);
  await access(file).catch((cause: unknown) => {
    throw new UsageError(`${folder} is no run: ${RESOLVED_CONFIG} not found`, { cause, suggestions: ['bispik distill --config configs/distill/stories.yaml'] });
  });
  return { ...(await loadDistillConfig({ file })), run: folder };
}

/** The task with its initial weights; a resumed run gets empty ones, since its checkpoint brings them. */
async function createTask(setting: Setting, isRestored: boolean): Promise<TrainingTask> {
  const { config, teacher, provenance, hashes, folder } = setting;
  const studentConfig = studentConfigOf(config, teacher.config);
  const random = createRandom(deriveSeed(config.seed, STREAM.start));
  const widths = { student: studentConfig.hiddenSize, teacher: teacher.config.hiddenSize };
  const projections = createProjections(widths, config.distill.featureForm, random);
  const start = isRestored
    ? new Map(Array.from(parameterShapes(studentConfig), ([name, shape]) => [name, tf.zeros([...shape])] as const))
    : await firstWeights(setting);
  return createDistillTask({
    config: studentConfig, teacher, context: config.train.context, checkBinary: config.checkBinary,
    initial: new Map([...start, ...projections.parameters]),
    terms: (parameters) => spadTerms({ settings: config.distill, student: studentConfig, teacher: teacher.config, projections }, parameters),
    exportStudent: async (parameters, target) => {
      await copyTokenizer(folder, target);
      await writeStudent(target, { config: studentConfig, parameters }, { ...provenance, teacher: { folder: config.teacher, sha256: hashes['teacherSha256'] }, ...hashes, config });
    },
  });
}

async function firstWeights({ config, teacher, corpus, ctx }: Setting): Promise<Map<string, tf.Tensor>> {
  const { sequences, ...calibration } = config.calibration;
  const { context } = config.train;
  const windows = createBatches(corpus.train, { batch: sequences, context, seed: deriveSeed(config.seed, STREAM.calibration) }).next();
  const ids = new Int32Array(sequences * context);
  for (let row = 0; row < sequences; row++) ids.set(windows.subarray(row * (context + 1), row * (context + 1) + context), row * context);
  const tokens = tf.tensor2d(ids, [sequences, context], 'int32');
  const studentConfig = studentConfigOf(config, teacher.config);
  const random = createRandom(deriveSeed(config.seed, STREAM.start));
  const { init, embeddings } = config.student;
  const start = await startStudent({ config: studentConfig, init, embeddings, teacher, ids: tokens, calibration, random }, (done) =>
    ctx.reporter.progress({ phase: 'start', done, total: studentConfig.layers, unit: 'layers' }));
  tokens.dispose();
  return start;
}

async function run(task: TrainingTask, setting: Setting, isResumed: boolean): Promise<DistillReport> {
  const { config, corpus, teacher, provenance, hashes, ctx } = setting;
  const student = join(config.run, 'student');
  const { unigramNll, bigramNll } = corpus.baselines;
  const report = await trainModel(task, {
    runFolder: config.run, modelFolder: student, settings: config.train,
    batches: createBatches(corpus.train, { batch: config.train.batch, context: config.train.context, seed: deriveSeed(config.seed, STREAM.batches) }),
    validWindows: corpus.windows, unigramNll, identity: runIdentity(config, hashes), isResumed,
    resumeCommand: `bispik distill --resume ${config.run}`, phase: 'distil',
  }, ctx);
  requireLearned(report, { unigramNll, modelFolder: student });
  return {
    run: config.run, student, steps: report.steps, tokens: report.tokens, skippedSteps: report.skippedSteps, valid: report.valid,
    teacher: { nll: await teacherNll(teacher, corpus.windows) }, unigram: { nll: unigramNll }, bigram: { nll: bigramNll },
    floor: corpus.trueNllPerToken === null ? null : { nll: corpus.trueNllPerToken },
    firingRate: report.firingRate ?? 0, backend: provenance.backend.name, elapsedMs: report.elapsedMs,
  };
}
