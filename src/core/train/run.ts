import { join } from 'node:path';

import * as tf from '@tensorflow/tfjs-core';

import { ensureFolder, listSteps, recoverFolder, removeLeftovers, replaceFolder } from '../checkpoint/folders.js';
import type { TrainingState } from '../checkpoint/format.js';
import { checkpointName } from '../checkpoint/format.js';
import { requireSameIdentity } from '../checkpoint/identity.js';
import { readLatestCheckpoint } from '../checkpoint/read.js';
import { pruneCheckpoints, writeCheckpoint } from '../checkpoint/write.js';
import { ConfigError } from '../errors.js';
import type { RunContext } from '../types.js';
import type { MetricsLog } from './metrics.js';
import { openMetrics } from './metrics.js';
import type { AdamState } from './optimizer.js';
import { initAdam } from './optimizer.js';
import type { TrainOptions } from './options.js';
import { momentsFrom, restoreParameters, storeMoments, storeParameters } from './stored-tensors.js';
import type { TrainingTask } from './task.js';

/** A run under way: its task, where it stands and the files it writes. */
export interface TrainingRun {
  readonly task: TrainingTask;
  readonly options: TrainOptions;
  readonly ctx: RunContext;
  readonly metrics: MetricsLog;
  /** Replaced as the run moves on, never changed in place. */ state: TrainingState;
  adam: AdamState;
  /** Step of the newest checkpoint of this run; null before the first. */ savedStep: number | null;
  /** When this process started or resumed, and what had been spent before. */ readonly clock: { readonly startMs: number; readonly spentMs: number };
}

/** Folder of a run's checkpoints. */
export const checkpointsOf = (options: Pick<TrainOptions, 'runFolder'>): string => join(options.runFolder, 'checkpoints');

/** True when a run folder has a finished checkpoint, i.e. resuming it brings its weights. */
export async function holdsCheckpoints(runFolder: string): Promise<boolean> {
  return (await listSteps(checkpointsOf({ runFolder }))).length > 0;
}

/** Checks that a new run may use a folder; cheap, so that a command can ask before it loads anything. @throws ConfigError when it holds a run. */
export async function requireUnusedFolder(runFolder: string, resumeCommand: string): Promise<void> {
  if (!(await holdsCheckpoints(runFolder))) return;
  throw new ConfigError(`${runFolder} already holds a run`, {
    suggestions: [resumeCommand, '--set run=DIR'],
  });
}

/**
 * Starts a run, or continues it from its newest whole checkpoint: weights, moments, counters and the place in the data.
 * @throws ConfigError when a new run's folder holds another run, or a resumed one belongs to another configuration;
 * FormatError when no checkpoint is whole.
 */
export async function openRun(task: TrainingTask, options: TrainOptions, ctx: RunContext): Promise<TrainingRun> {
  const folder = checkpointsOf(options);
  await ensureFolder(folder);
  await removeLeftovers(folder);
  await recoverFolder(options.modelFolder);
  const hasCheckpoints = await holdsCheckpoints(options.runFolder);
  if (!options.isResumed) await requireUnusedFolder(options.runFolder, options.resumeCommand);
  if (options.isResumed && !hasCheckpoints) ctx.reporter.notice(`${folder}: no checkpoint yet; starting from the beginning`);
  const start = hasCheckpoints ? await restore(task, options, ctx) : { state: firstState(options), adam: initAdam(task.parameters), savedStep: null };
  const metrics = await openMetrics(join(options.runFolder, 'metrics.jsonl'), start.state.step);
  const run = { task, options, ctx, metrics, ...start, clock: { startMs: performance.now(), spentMs: start.state.elapsedMs } };
  // Killed between the checkpoint of a new best model and its export: the export is made up for.
  if (run.state.best?.step === run.state.step) await exportModel(run);
  return run;
}

/** Writes the checkpoint of the present step, unless it is there, and removes those that are no longer needed. */
export async function saveRun(run: TrainingRun): Promise<void> {
  const { task, options, state } = run;
  if (run.savedStep === state.step) return;
  run.state = { ...state, elapsedMs: run.clock.spentMs + performance.now() - run.clock.startMs, batches: options.batches.cursor() };
  const [model, optimizer] = [await storeParameters(task), await storeMoments(run.adam)];
  await writeCheckpoint(checkpointsOf(options), { state: run.state, identity: options.identity, model, optimizer });
  run.savedStep = state.step;
  await pruneCheckpoints(checkpointsOf(options), state.best?.step ?? null);
}

/** Writes the model folder, whole or not at all. */
export function exportModel({ task, options }: TrainingRun): Promise<void> {
  return replaceFolder(options.modelFolder, (temporary) => task.exportModel(temporary));
}

/** Frees the moments; the parameters are the task's. */
export function closeRun(run: TrainingRun): void {
  tf.dispose([...run.adam.mean.values(), ...run.adam.square.values()]);
}

/** Path of a run's newest checkpoint, or words for none. */
export function lastCheckpoint(run: TrainingRun): string {
  return run.savedStep === null ? 'none yet' : join(checkpointsOf(run.options), checkpointName(run.savedStep));
}

function firstState({ batches }: TrainOptions): TrainingState {
  return {
    step: 0, tokens: 0, updates: 0, skippedSteps: 0, skippedInRow: 0, batches: batches.cursor(),
    best: null, validationsSinceBest: 0, firingRate: null, elapsedMs: 0,
  };
}

async function restore(
  task: TrainingTask, options: TrainOptions, ctx: RunContext,
): Promise<{ state: TrainingState; adam: AdamState; savedStep: number }> {
  const checkpoint = await readLatestCheckpoint(checkpointsOf(options), ctx.reporter.notice);
  requireSameIdentity(options.runFolder, checkpoint.identity, options.identity);
  const { state } = checkpoint;
  options.batches.restore(state.batches);
  restoreParameters(task, checkpoint);
  ctx.reporter.notice(`resuming from ${checkpointName(state.step)}: step ${state.step} of ${options.settings.steps}`);
  return { state, adam: momentsFrom(task, checkpoint, state.updates), savedStep: state.step };
}
