import { ShapeError } from '../../errors.js';
import type { LanguageModel, RunContext, TokenIds } from '../../types.js';
import type { ItemFiles } from './item-source.js';
import type { TaskItem } from './items.js';
import type { MetricValue, OutcomeOptions, TaskOutcomes } from './metrics.js';
import { isAccuracy, outcomesOf, valuesOf } from './metrics.js';
import type { UnigramModel } from './null-models.js';
import { benchmarkText, chanceOutcomes, fitUnigram, scoreByUnigram } from './null-models.js';
import type { RequestScore } from './score-windows.js';
import { scoreItems } from './score-windows.js';
import type { SkillReport } from './skill.js';
import { skillRetained } from './skill.js';
import type { MetricName, OutputType } from './task-schema.js';
import type { Task } from './task.js';
import type { RequestEncoder, TokenItem } from './token-windows.js';
import { tokenizeItem } from './token-windows.js';

/** A task with the items that are to be scored. */
export interface TaskInput {
  readonly task: Task;
  /** The scored items, examples included. */ readonly items: readonly TaskItem[];
  /** Items of the split, also those a limit leaves out. */ readonly original: number;
  readonly source: ItemFiles;
  readonly shots: number;
  /** Where examples came from; null: from the scored items, or there are none. */ readonly fewshotSource: ItemFiles | null;
}

/** The two models side by side; at least one is given. */
export interface TaskModels {
  readonly student: LanguageModel | null;
  readonly teacher: LanguageModel | null;
}
export type ModelRole = keyof TaskModels;

export interface RunTaskOptions {
  readonly models: TaskModels;
  readonly encoder: RequestEncoder;
  /** Longest input; that of the shorter model, so that both see the same. */ readonly maxLength: number;
  /** Text the unigram model is counted on; null: the benchmark's own. */ readonly unigramSequences: readonly TokenIds[] | null;
}

export interface MetricReport {
  readonly higherIsBetter: boolean;
  /** What guessing gives. */ readonly chance: number;
  /** What a model gives that knows how frequent tokens are and nothing else. */ readonly unigram: MetricValue;
  readonly student?: MetricValue;
  readonly teacher?: MetricValue;
  /** Of accuracies where both models are given. */ readonly skill?: SkillReport;
}

/** Result of one task: plain values. */
export interface TaskReport {
  readonly task: string;
  readonly version: number;
  /** SHA-256 of the task file. */ readonly taskHash: string;
  readonly outputType: OutputType;
  /** Of the scored items, as far as their files say. */ readonly split: string;
  readonly source: ItemFiles;
  readonly shots: number;
  readonly fewshotSource: ItemFiles | null;
  /** Of the split, wanted, and scored: fewer than wanted where the run was interrupted. */ readonly items: { readonly original: number; readonly effective: number; readonly scored: number };
  readonly isPartial: boolean;
  /** Items of which a context lost its left end. */ readonly truncatedItems: number;
  /** Items of which a continuation alone did not fit and was scored in windows. */ readonly overlongItems: number;
  readonly unigram: { readonly counts: UnigramModel['counts']; readonly tokens: number };
  readonly metrics: Readonly<Partial<Record<MetricName, MetricReport>>>;
  /** Per item, for paired comparisons. */ readonly outcomes: Readonly<Partial<Record<ModelRole | 'chance' | 'unigram', TaskOutcomes>>>;
}

/** A task's report with what it was made from, for logs. */
export interface TaskRun {
  readonly report: TaskReport;
  readonly input: TaskInput;
  readonly scores: Readonly<Partial<Record<ModelRole, readonly (readonly RequestScore[])[]>>>;
}

/** Model inputs between which Ctrl-C is heard, progress told, and a partial result counted. */
const SLICE_WINDOWS = 64;
const ROLES = ['student', 'teacher'] as const satisfies readonly ModelRole[];

/**
 * Scores a task's items with all models. Where the signal is aborted, the items done by then are reported and marked partial; null when there are none.
 * @throws ShapeError when the tokenizer has ids a model does not know; FormatError on an item that asks for nothing; NumericError.
 */
export async function runTask(input: TaskInput, options: RunTaskOptions, ctx: RunContext): Promise<TaskRun | null> {
  const { task } = input;
  const isRolling = task.output_type === 'loglikelihood_rolling';
  const tokens = input.items.map((item) => tokenizeItem(item, options.encoder, { isRolling, maxLength: options.maxLength }));
  checkIds(tokens, options.models, task);
  const scores = await scoreAll(tokens, { task, models: options.models }, ctx);
  const scored = Math.min(...Object.values(scores).map((of) => of.length));
  if (scored === 0) return null;
  const done = tokens.slice(0, scored);
  const unigram = options.unigramSequences === null ? fitUnigram(benchmarkText(tokens), vocabularyOf(options.models), 'benchmark') : fitUnigram(options.unigramSequences, vocabularyOf(options.models), 'training');
  return { report: reportOf(input, done, { scores, unigram, vocabSize: vocabularyOf(options.models) }), input, scores };
}

function vocabularyOf({ student, teacher }: TaskModels): number {
  return (student ?? teacher!).shape.vocabSize;
}

function checkIds(tokens: readonly TokenItem[], models: TaskModels, task: Task): void {
  const vocabSize = vocabularyOf(models);
  for (const [i, { requests }] of tokens.entries()) {
    const id = requests.flat().flatMap(({ input, targets }) => [...input, ...targets]).find((found) => found >= vocabSize);
    if (id !== undefined) {
      throw new ShapeError(`${task.task}, item ${i + 1} has the token ${id}, outside the model's vocabulary of ${vocabSize}`, { suggestions: ['Put the tokenizer of this model into its folder'] });
    }
  }
}

type Scores = TaskRun['scores'];

async function scoreAll(tokens: readonly TokenItem[], { task, models }: { readonly task: Task; readonly models: TaskModels }, { signal, reporter }: RunContext): Promise<Scores> {
  const given = ROLES.flatMap((role) => (models[role] === null ? [] : [[role, models[role], [] as (readonly RequestScore[])[]] as const]));
  let done = 0;
  scoring: while (done < tokens.length) {
    const slice = nextSlice(tokens, done);
    const results: (readonly (readonly RequestScore[])[])[] = [];
    for (const [, model] of given) {
      const scores = await scoreItems(model, slice, { signal });
      if (scores === null) break scoring;
      results.push(scores);
    }
    given.forEach(([, , all], i) => all.push(...results[i]!));
    done += slice.length;
    reporter.progress({ phase: task.task, done, total: tokens.length, unit: 'items' });
  }
  return Object.fromEntries(given.map(([role, , all]) => [role, all]));
}

function nextSlice(tokens: readonly TokenItem[], start: number): readonly TokenItem[] {
  let [end, windows] = [start, 0];
  while (end < tokens.length && windows < SLICE_WINDOWS) windows += Math.max(1, tokens[end++]!.requests.flat().length);
  return tokens.slice(start, end);
}

function reportOf(input: TaskInput, done: readonly TokenItem[], { scores, unigram, vocabSize }: { readonly scores: Scores; readonly unigram: UnigramModel; readonly vocabSize: number }): TaskReport {
  const { task, source, shots, fewshotSource, original } = input;
  const items = input.items.slice(0, done.length);
  const asked: OutcomeOptions = { type: task.output_type, metrics: task.metrics.map(({ metric }) => metric) };
  const outcomes: TaskReport['outcomes'] = {
    ...Object.fromEntries(ROLES.flatMap((role) => (scores[role] === undefined ? [] : [[role, outcomesOf(items, scores[role], asked)]]))),
    chance: chanceOutcomes(items, done, { ...asked, vocabSize }), unigram: outcomesOf(items, scoreByUnigram(done, unigram), asked),
  };
  return {
    task: task.task, version: task.version, taskHash: task.hash, outputType: task.output_type, split: source.split ?? task.split, source, shots, fewshotSource,
    items: { original, effective: input.items.length, scored: items.length }, isPartial: items.length < input.items.length,
    truncatedItems: done.filter(({ isTruncated }) => isTruncated).length, overlongItems: done.filter(({ isOverlong }) => isOverlong).length,
    unigram: { counts: unigram.counts, tokens: unigram.tokens }, metrics: metricReports(task, outcomes), outcomes,
  };
}

function metricReports(task: Task, outcomes: TaskReport['outcomes']): TaskReport['metrics'] {
  const values = Object.fromEntries(Object.entries(outcomes).map(([role, of]) => [role, valuesOf(of)]));
  return Object.fromEntries(task.metrics.map(({ metric, higher_is_better: higherIsBetter }) => {
    const [student, teacher, chance, unigram] = [outcomes.student?.[metric], outcomes.teacher?.[metric], outcomes.chance![metric]!, outcomes.unigram![metric]!];
    const hasSkill = student !== undefined && teacher !== undefined && isAccuracy(metric);
    return [metric, {
      higherIsBetter, chance: values['chance']![metric]!.value, unigram: values['unigram']![metric]!,
      ...(student === undefined ? {} : { student: values['student']![metric]! }), ...(teacher === undefined ? {} : { teacher: values['teacher']![metric]! }),
      ...(hasSkill ? { skill: skillRetained({ student: student.values, teacher: teacher.values, chance: chance.values, unigram: unigram.values }) } : {}),
    } satisfies MetricReport];
  }));
}
