import { createHash } from 'node:crypto';
import { access, mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { FormatError } from '../errors.js';
import { isAccuracy } from '../eval/tasks/metrics.js';
import type { TaskReport } from '../eval/tasks/run-task.js';
import type { MetricName } from '../eval/tasks/task-schema.js';
import { differences, newBaseline, readBaseline, withRepeat, writeBaseline } from '../gate/baseline.js';
import type { GateReport } from '../gate/compare.js';
import { compareWithBaseline } from '../gate/compare.js';
import { gateJunit, gateMarkdown } from '../gate/documents.js';
import type { Measure, Measured } from '../gate/measures.js';
import { explainWriteFailure, writeTextAtomically } from '../hub/atomic-write.js';
import type { LanguageModel, TokenIds } from '../types.js';
import type { ModelEvaluation } from './evaluate-model.js';

/** What `eval --baseline` was asked. */
export interface GateOptions {
  readonly baseline: string;
  /** Make this run the baseline, or one more repeat of it. */ readonly bless: boolean;
  /** Folder for gate.json, gate.junit.xml and gate.md; null: none. */ readonly reports: string | null;
}

/** The comparison, and what became of the baseline. */
export interface GateResult extends GateReport {
  readonly baseline: string;
  /** `repeat`: added to the repeats; `new`: begins with this run; null: not blessed. */ readonly blessed: 'repeat' | 'new' | null;
}

/** What was evaluated. */
export interface Evaluated {
  readonly models: { readonly student: LanguageModel | null; readonly teacher: LanguageModel | null };
  readonly sequences: readonly TokenIds[] | null;
  readonly evaluation: ModelEvaluation;
}

/**
 * Compares an evaluation with a stored baseline, or blesses it. @throws FormatError when the baseline is missing, damaged or of something else, or
 * when tasks were interrupted: a partial result neither passes nor fails.
 */
export async function gateEvaluation({ baseline: path, bless, reports }: GateOptions, evaluated: Evaluated): Promise<GateResult> {
  if (evaluated.evaluation.tasks?.isPartial === true) throw new FormatError('the tasks were interrupted: a partial result cannot be compared with a baseline');
  const run = measured(evaluated);
  const result = bless ? await blessRun(path, run) : { ...compareWithBaseline(await readBaseline(path), run), blessed: null };
  if (reports !== null) await writeReports(reports, result);
  return { ...result, baseline: path };
}

async function blessRun(path: string, run: Measured): Promise<GateReport & { blessed: 'repeat' | 'new' }> {
  const old = await access(path).then(() => readBaseline(path).catch(() => null), () => null);
  const report = old === null || differences(old, run).length > 0 ? null : compareWithBaseline(old, run);
  // The first repeats cannot pass: their noise is not known yet.
  const isRepeat = old !== null && report !== null && (report.passed || old.measures.every(({ values }) => values.length < 3));
  const next = isRepeat ? withRepeat(old, run) : newBaseline(run);
  await writeBaseline(path, next);
  return { ...compareWithBaseline(next, run), blessed: isRepeat ? 'repeat' : 'new' };
}

async function writeReports(folder: string, report: GateReport): Promise<void> {
  await mkdir(folder, { recursive: true }).catch((cause: unknown) => { throw explainWriteFailure(folder, cause); });
  const files = { 'gate.json': `${JSON.stringify(report, null, 2)}\n`, 'gate.junit.xml': gateJunit(report), 'gate.md': gateMarkdown(report) };
  for (const [name, text] of Object.entries(files)) await writeTextAtomically(join(folder, name), text).catch((cause: unknown) => { throw explainWriteFailure(join(folder, name), cause); });
}

function measured({ models, sequences, evaluation }: Evaluated): Measured {
  const tasks = Object.values(evaluation.tasks?.results ?? {});
  const onText = evaluation.tokens === undefined ? {} : {
    text: hashOf(sequences ?? []), context: evaluation.contextLength, stride: evaluation.stride,
  };
  const ofTasks = Object.fromEntries(tasks.flatMap(({ task, version, shots, items }) => [[`${task} version`, version], [`${task} shots`, shots], [`${task} items`, items.scored]]));
  return {
    subject: { model: describe(models), measuredOn: { ...onText, ...ofTasks } },
    measures: [...measuresOfText(evaluation), ...tasks.flatMap((report) => measuresOfTask(report, models.student === null ? 'teacher' : 'student'))],
  };
}

/** Widths, layers, T and precision; weights may differ, or a gate could never watch training. */
function describe({ student, teacher }: Evaluated['models']): Measured['subject']['model'] {
  const { kind, shape, timeSteps, precision } = (student ?? teacher) as LanguageModel;
  const { vocabSize, hiddenSize, layers, heads, feedForwardSize, contextLength } = shape;
  return { kind, vocabSize, hiddenSize, layers, heads, feedForwardSize, contextLength, timeSteps, precision, ...(student !== null && teacher !== null ? { beside: 'teacher' } : {}) };
}

function hashOf(sequences: readonly TokenIds[]): string {
  const hash = createHash('sha256');
  for (const ids of sequences) hash.update(new Uint8Array(Int32Array.from(ids).buffer)).update('\n');
  return hash.digest('hex');
}

function measuresOfText({ student, teacher }: ModelEvaluation): Measure[] {
  const lower = (name: string, value: number): Measure => ({ name, value, better: 'lower', outcomes: null });
  if (student !== undefined) {
    const { nll, energy, firingRate, work } = student;
    // What an engine is fast by is what it does not read; a clock would measure the machine as well.
    const read = work === null ? [] : [lower('student.bytesReadPerToken', (work.weightBytes + work.cacheBytes + work.headBytes) / work.tokens)];
    return [lower('student.nll', nll), lower('student.energy.ratioBlocks', energy.ratioBlocks), lower('student.firingRate', firingRate), ...read];
  }
  return teacher === undefined || teacher === null ? [] : [lower('teacher.nll', teacher.nll)];
}

function measuresOfTask({ task, metrics, outcomes }: TaskReport, role: 'student' | 'teacher'): Measure[] {
  return Object.entries(metrics).flatMap(([metric, report]): Measure[] => {
    const value = report[role]?.value;
    if (value === undefined) return [];
    const perItem = isAccuracy(metric as MetricName) ? (outcomes[role]?.[metric as MetricName]?.values ?? null) : null;
    return [{ name: `${task}.${metric}`, value, better: report.higherIsBetter ? 'higher' : 'lower', outcomes: perItem }];
  });
}
