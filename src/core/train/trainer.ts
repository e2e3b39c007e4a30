import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';

import { freeUnusedMemory } from '../backend/unused-memory.js';
import { checkpointName } from '../checkpoint/format.js';
import type { TrainingState } from '../checkpoint/format.js';
import { readCheckpoint } from '../checkpoint/read.js';
import { Interrupted, NumericError } from '../errors.js';
import type { RunContext } from '../types.js';
import type { SpikeWatch } from './health.js';
import { createSpikeWatch } from './health.js';
import type { TrainOptions } from './options.js';
import type { TrainReport } from './report.js';
import type { TrainingRun } from './run.js';
import { checkpointsOf, closeRun, exportModel, lastCheckpoint, openRun, saveRun } from './run.js';
import { learningRateAt } from './schedule.js';
import type { StepReport } from './step.js';
import { trainStep } from './step.js';
import { restoreParameters } from './stored-tensors.js';
import type { TrainingTask } from './task.js';

/** What is measured between two lines of the log, apart from validation and checkpoints. */
interface Pace { tokens: number; trainingMs: number }
interface Training { readonly run: TrainingRun; readonly watch: SpikeWatch; readonly pace: Pace }

/**
 * Trains a task to the end of its run, logging, validating and writing checkpoints; afterwards its parameters, like the model
 * folder, are those of the best validation loss. A resumed run ends with the same bits as one that was never interrupted.
 * @returns the report; check `hasLearned` with `requireLearned` once everything is written.
 * @throws Interrupted after Ctrl-C, with a checkpoint written; NumericError when too many steps in a row are not finite or the
 * validation loss is not; ConfigError and FormatError as `openRun`.
 */
export async function trainModel(task: TrainingTask, options: TrainOptions, ctx: RunContext): Promise<TrainReport> {
  const run = await openRun(task, options, ctx);
  const training = { run, watch: createSpikeWatch(ctx.reporter.notice), pace: { tokens: 0, trainingMs: 0 } };
  freeUnusedMemory(); // of what made the first weights
  try {
    while (!isFinished(run)) {
      if (ctx.signal.aborted) await stop(run);
      await advance(training);
      // Steps may complete without ever leaving the thread: this lets a signal or a timer in.
      await nextTurn();
    }
    return await finish(run);
  } finally {
    closeRun(run);
  }
}

/** One step and everything that is due after it. */
async function advance(training: Training): Promise<void> {
  const { run, watch } = training;
  const { settings } = run.options;
  const report = await step(training);
  const { step: number } = run.state;
  const isEnd = number === settings.steps;
  const isDue = (every: number): boolean => every > 0 && number % every === 0;
  const nll = isEnd || isDue(settings.validateEvery) ? await validate(run) : null;
  showProgress(run, report, training.pace);
  if (nll !== null || isDue(settings.logEvery) || isDue(settings.gradientNormsEvery)) {
    await log(training, report, nll);
    watch.look(number, report.rates);
  }
  const isBest = nll !== null && run.state.best?.step === number;
  if (isBest || isFinished(run) || isDue(settings.checkpointEvery)) await saveRun(run);
  if (isBest) await exportModel(run);
}

function isFinished({ state, options: { settings } }: TrainingRun): boolean {
  return state.step >= settings.steps || isOutOfPatience(state, settings.patience);
}

function isOutOfPatience(state: TrainingState, patience: number): boolean {
  return patience > 0 && state.validationsSinceBest >= patience;
}

async function step({ run, pace }: Training): Promise<StepReport> {
  const { task, options: { settings, batches, profiler, runner }, state } = run;
  const startMs = performance.now();
  const number = state.step + 1;
  const make = (): ReturnType<typeof trainStep> => trainStep(task, {
    batches: Array.from({ length: settings.accumulate }, () => batches.next()), state: run.adam,
  }, {
    adam: settings, clipNorm: settings.clipNorm, learningRate: learningRateAt(number, settings),
    runner, hasTermNorms: settings.gradientNormsEvery > 0 && number % settings.gradientNormsEvery === 0,
  });
  const { report, state: adam } = await (profiler === null ? make() : profiler.around(make));
  run.adam = adam;
  const tokens = settings.accumulate * settings.batch * settings.context;
  run.state = {
    ...state, step: number, tokens: state.tokens + tokens, updates: adam.updates,
    skippedSteps: state.skippedSteps + Number(report.isSkipped), skippedInRow: report.isSkipped ? state.skippedInRow + 1 : 0,
    firingRate: report.isSkipped ? state.firingRate : meanRate(report),
  };
  pace.tokens += tokens;
  pace.trainingMs += performance.now() - startMs;
  if (report.isSkipped) noteSkipped(run, report);
  return report;
}

function meanRate({ rates }: StepReport): number | null {
  return rates.length === 0 ? null : rates.reduce((sum, { rate }) => sum + rate, 0) / rates.length;
}

function showProgress({ state, options, ctx }: TrainingRun, report: StepReport, pace: Pace): void {
  const values = {
    loss: report.loss,
    ...(state.best === null ? {} : { valid: state.best.nll }),
    'tokens/s': tokensPerSecond(pace),
    ...(state.firingRate === null ? {} : { rate: state.firingRate }),
  };
  ctx.reporter.progress({ phase: options.phase, done: state.step, total: options.settings.steps, unit: 'steps', values });
}

const tokensPerSecond = ({ tokens, trainingMs }: Pace): number => Math.round(tokens / Math.max(trainingMs, 1e-3) * 1000);

/** Says what was not finite. @throws NumericError when it has happened too often in a row. */
function noteSkipped(run: TrainingRun, { nonFinite }: StepReport): void {
  const { state, options: { settings }, ctx } = run;
  const list = (names: readonly string[]): string => (names.length === 0 ? 'none' : names.slice(0, 5).join(', ') + (names.length > 5 ? ` and ${names.length - 5} more` : ''));
  const found = `not finite: loss terms ${list(nonFinite.terms)}; gradients of ${list(nonFinite.tensors)}`;
  if (state.skippedInRow >= settings.maxSkippedInRow) {
    throw new NumericError(`step ${state.step}: ${state.skippedInRow} steps in a row had a loss or gradient that is ${found}; last good checkpoint: ${lastCheckpoint(run)}`, {
      suggestions: ['lower train.learningRate', 'use student.detachReset: true or a smaller student.surrogateAlpha', 'raise train.warmupSteps'],
    });
  }
  if (state.skippedInRow === 1) ctx.reporter.notice(`step ${state.step} skipped: ${found}`);
}

/** Validation loss of the present weights; remembers whether it is the best. @throws NumericError when it is not finite. */
async function validate(run: TrainingRun): Promise<number> {
  const { options: { validWindows, settings }, task, state } = run;
  const nll = await finiteNll(task, validWindows.slice(0, settings.validateWindows ?? validWindows.length), run);
  const isBest = state.best === null || nll < state.best.nll;
  run.state = isBest
    ? { ...state, best: { step: state.step, nll }, validationsSinceBest: 0 }
    : { ...state, validationsSinceBest: state.validationsSinceBest + 1 };
  return nll;
}

async function finiteNll(task: TrainingTask, windows: readonly Int32Array[], run: TrainingRun): Promise<number> {
  // The buffers of steps and those of validation are not needed at the same time.
  freeUnusedMemory();
  const nll = await run.options.runner.validNll(task, windows);
  freeUnusedMemory();
  if (Number.isFinite(nll)) return nll;
  throw new NumericError(`step ${run.state.step}: the validation loss is ${nll}; last good checkpoint: ${lastCheckpoint(run)}`, {
    suggestions: ['lower train.learningRate'],
  });
}

async function log({ run, pace }: Training, report: StepReport, nll: number | null): Promise<void> {
  const { state, options: { settings } } = run;
  await run.metrics.append({
    step: state.step, tokens: state.tokens, loss: report.loss, terms: report.terms, gradNorm: report.gradNorm, gradNorms: report.gradNorms,
    lr: learningRateAt(state.step, settings), firingRate: meanRate(report), tokensPerSecond: tokensPerSecond(pace),
    skippedSteps: state.skippedSteps, valid: nll === null ? null : { nll },
  });
  Object.assign(pace, { tokens: 0, trainingMs: 0 });
}

/** Ctrl-C: keeps what was done. @throws Interrupted always. */
async function stop(run: TrainingRun): Promise<never> {
  await saveRun(run);
  const { state, options } = run;
  throw new Interrupted(`stopped after step ${state.step} of ${options.settings.steps}; everything up to it is in ${lastCheckpoint(run)}`, {
    suggestions: [options.resumeCommand],
  });
}

/** Leaves the best weights in the task and measures them on all validation windows. */
async function finish(run: TrainingRun): Promise<TrainReport> {
  const { task, options, state } = run;
  const { best } = state;
  if (best === null) throw new Error('a run ended without a validation');
  if (best.step !== state.step) restoreParameters(task, await readCheckpoint(join(checkpointsOf(options), checkpointName(best.step))));
  const nll = options.settings.validateWindows === null ? best.nll : await finiteNll(task, options.validWindows, run);
  return {
    steps: state.step, tokens: state.tokens, skippedSteps: state.skippedSteps,
    valid: { nll, perplexity: Math.exp(nll) }, best, firingRate: state.firingRate,
    elapsedMs: Math.round(run.clock.spentMs + performance.now() - run.clock.startMs),
    isStoppedEarly: isOutOfPatience(state, options.settings.patience),
    hasLearned: nll < options.unigramNll,
  };
}
