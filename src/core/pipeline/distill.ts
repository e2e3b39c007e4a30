import { access } from 'node:fs/promises';
import { join } from 'node:path';

import type { BackendChoice } from '../backend/select.js';
import { checkAgainstTeacher } from '../config/check-teacher.js';
import { loadDistillConfig } from '../config/load.js';
import type { DistillConfig } from '../config/schema.js';
import { teacherFolder } from '../config/shipped.js';
import { studentConfigOf } from '../distill/student-config.js';
import { checkThreads } from '../engine/crew.js';
import { UsageError } from '../errors.js';
import { writeStudent } from '../student/folder.js';
import { readRecordedHash } from '../student/stored.js';
import { loadTeacher } from '../teacher/weights.js';
import { loadTokenizer } from '../tokenizer/load.js';
import type { PassRunner } from '../train/passes.js';
import { createStepProfiler } from '../train/profile.js';
import { requireLearned } from '../train/report.js';
import { holdsCheckpoints, requireUnusedFolder } from '../train/run.js';
import type { TrainingTask } from '../train/task.js';
import { trainModel } from '../train/trainer.js';
import type { RunContext } from '../types.js';
import type { RunCorpus } from './corpus.js';
import { loadRunCorpus } from './corpus.js';
import { createDistillation, distillationBatches } from './distillation.js';
import { checkEarlierStudent } from './earlier-student.js';
import { explainMemory, planMemory } from './plan-memory.js';
import { prepareBackend, preparePrecision } from './prepare-backend.js';
import type { CacheReport, RunTeacher } from './run-teacher.js';
import { openRunTeacher } from './run-teacher.js';
import type { RunProvenance } from './run-folder.js';
import { RESOLVED_CONFIG } from './run-files.js';
import { createRunFolder, runIdentity, runProvenance } from './run-folder.js';
import { copyTokenizer } from './tokenizer-files.js';
import { openRunner, trainingThreads } from './training-threads.js';
import type { ProfileReport } from './write-profile.js';
import { writeProfile } from './write-profile.js';

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
  /** That shared the micro-batches of a step. */ readonly threads: number;
  readonly elapsedMs: number;
  /** What the targets came from; null where the teacher ran in every step. */ readonly teacherCache: CacheReport | null;
  /** Where the time of some of its steps went; null unless asked for. */ readonly profile: ProfileReport | null;
}

/** What to distil: a new run, or one that is continued. */
export type DistillRequest = ({ readonly config: DistillConfig } | { readonly resume: string }) & {
  /** Also measure where the time goes. */ readonly profile: boolean;
  /** Of no influence on the result; null: one for every micro-batch of a step, as far as there are cores. */ readonly threads: number | null;
};

/**
 * Distils a student: a new run from its configuration, or a run folder continued where it stopped.
 * @throws UsageError, ConfigError, FormatError, BackendError before anything is trained; Interrupted, NumericError, NothingLearnedError.
 */
export async function distill(request: DistillRequest, ctx: RunContext): Promise<DistillReport> {
  if (request.threads !== null) checkThreads(request.threads);
  const isResumed = 'resume' in request;
  const config = isResumed ? await readRunConfig(request.resume) : request.config;
  if (!isResumed) await requireUnusedFolder(config.run, `bispik distill --resume ${config.run}`);
  const folder = teacherFolder(config.teacher);
  const weights = await loadTeacher(folder);
  checkAgainstTeacher(config, weights.config);
  const tokenizer = await loadTokenizer(folder);
  const { from } = config.student;
  const startSha256 = from === null ? null : isResumed
    ? await readRecordedHash(from).catch(() => null) // a run that has begun no longer needs that folder
    : await checkEarlierStudent(from, studentConfigOf(config, weights.config), tokenizer.hash);
  const corpus = await loadRunCorpus(config.corpus, tokenizer, config.train.context);
  const backend = await prepareBackend(config.backend);
  ctx.reporter.notice(`Computing on ${backend.name} (${backend.device}): ${backend.reason}`);
  await preparePrecision(config.train, backend, ctx.reporter);
  const isRestored = isResumed && await holdsCheckpoints(config.run);
  const planned = planMemory(config, weights.config, { backend, reporter: ctx.reporter, hasStart: !isRestored });
  const threads = trainingThreads(request.threads, { backend: backend.name, accumulate: config.train.accumulate, hasProfile: request.profile });
  if (!isResumed) await createRunFolder(config);
  const provenance = await runProvenance(backend, config.seed);
  const teacher = await explainMemory(planned.sizes, () => openRunTeacher({ config, weights, tokenizerSha256: tokenizer.hash, corpus, provenance }, ctx));
  const hashes = { teacherSha256: weights.sha256, corpusSha256: corpus.sha256, tokenizerSha256: tokenizer.hash };
  const setting = { config, teacher, corpus, provenance, hashes, backend, hasProfile: request.profile, ctx };
  const task = await explainMemory(planned.sizes, async () => createDistillation({
    config: planned.config, teacher, trainTokens: corpus.train, ctx,
    exportStudent: async (student, target) => {
      await copyTokenizer(folder, target);
      await writeStudent(target, student, { ...provenance, teacher: { folder: config.teacher, sha256: hashes.teacherSha256 }, ...(from === null ? {} : { start: { folder: from, sha256: startSha256 } }), ...hashes, config });
    },
  }, isRestored));
  const runner = openRunner(task, { threads, backend, plan: { kind: 'distill', backend: backend.name, config: planned.config }, reporter: ctx.reporter });
  try {
    return await explainMemory(planned.sizes, () => run(task, { ...setting, runner }, isResumed));
  } finally {
    await runner.dispose();
    [task, teacher].forEach((owner) => owner.dispose());
  }
}

interface Setting {
  readonly config: DistillConfig;
  readonly teacher: RunTeacher;
  readonly corpus: RunCorpus;
  readonly provenance: RunProvenance;
  readonly hashes: Readonly<Record<string, string>>;
  readonly backend: BackendChoice;
  readonly hasProfile: boolean;
  readonly ctx: RunContext;
  readonly runner: PassRunner;
}

/** The configuration a run was started with; its folder may have been moved since. */
async function readRunConfig(folder: string): Promise<DistillConfig> {
  const file = join(folder, RESOLVED_CONFIG);
  await access(file).catch((cause: unknown) => {
    throw new UsageError(`${folder} is no run: ${RESOLVED_CONFIG} not found`, { cause, suggestions: ['bispik distill --config configs/distill/stories.yaml'] });
  });
  return { ...(await loadDistillConfig({ file })), run: folder };
}

async function run(task: TrainingTask, setting: Setting, isResumed: boolean): Promise<DistillReport> {
  const { config, corpus, teacher, provenance, hashes, backend, ctx, runner } = setting;
  const student = join(config.run, 'student');
  const { unigramNll, bigramNll } = corpus.baselines;
  const profiler = setting.hasProfile ? createStepProfiler() : null;
  const report = await trainModel(task, {
    runFolder: config.run, modelFolder: student, settings: config.train,
    batches: teacher.batches(distillationBatches(corpus.train, config)),
    validWindows: corpus.windows, unigramNll, identity: runIdentity(config, hashes), isResumed,
    resumeCommand: `bispik distill --resume ${config.run}`, phase: 'distil', runner, profiler,
  }, ctx);
  const { batch, accumulate, context } = config.train;
  const profile = profiler === null ? null : await writeProfile(profiler, { run: config.run, backend, tokensPerStep: batch * accumulate * context, reporter: ctx.reporter });
  requireLearned(report, { unigramNll, modelFolder: student });
  return {
    run: config.run, student, steps: report.steps, tokens: report.tokens, skippedSteps: report.skippedSteps, valid: report.valid,
    teacher: { nll: await teacher.nll() }, unigram: { nll: unigramNll }, bigram: { nll: bigramNll },
    floor: corpus.trueNllPerToken === null ? null : { nll: corpus.trueNllPerToken },
    firingRate: report.firingRate ?? 0, backend: provenance.backend.name, threads: runner.threads, elapsedMs: report.elapsedMs, profile, teacherCache: teacher.cache,
  };
}
