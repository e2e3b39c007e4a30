import { Interrupted, UsageError } from '../errors.js';
import { findTasks } from '../eval/tasks/find-tasks.js';
import type { RunDescription, SpecialToken } from '../eval/tasks/harness-results.js';
import type { ModelRole, TaskInput, TaskModels, TaskReport, TaskRun } from '../eval/tasks/run-task.js';
import { runTask } from '../eval/tasks/run-task.js';
import { requestEncoder } from '../eval/tasks/token-windows.js';
import type { Tokenizer } from '../tokenizer/load.js';
import { loadTokenizer } from '../tokenizer/load.js';
import type { LanguageModel, RunContext, TokenIds } from '../types.js';
import type { TaskItemsOptions } from './task-items.js';
import { loadTaskInput } from './task-items.js';
import { hasTokenizer } from './tokenizer-files.js';
import { writeTaskResults } from './write-task-results.js';

/** What `bispik eval --tasks` was asked. */
export interface TaskOptions extends TaskItemsOptions {
  readonly names: readonly string[];
  /** Folder of the user's task files; null: only those that ship. */ readonly includePath: string | null;
  /** Folder results are written to; null: none. */ readonly out: string | null;
  readonly logSamples: boolean;
  readonly bispikVersion: string;
}

/** The models, as they are called and where the tokenizer is. */
export interface OpenModels extends TaskModels {
  /** As the user named them. */ readonly names: Readonly<Record<ModelRole, string>>;
  readonly tokenizerFolder: string;
  /** Tokens a model sees at once. */ readonly contextLength: number;
  /** Text for the unigram null model; null: the benchmark's own. */ readonly unigramSequences: readonly TokenIds[] | null;
}

/** Results of tasks, plain values. */
export interface TasksReport {
  /** The run was interrupted: some task has fewer items than wanted, or is missing. */ readonly isPartial: boolean;
  readonly contextLength: number;
  /** By task, in the order asked. */ readonly results: Readonly<Record<string, TaskReport>>;
  /** Files written. */ readonly files: readonly string[];
  readonly elapsedMs: number;
}

/** Tasks with all their items, ready to be scored. */
export interface LoadedTasks {
  readonly options: TaskOptions;
  readonly inputs: readonly TaskInput[];
}

/** Reads tasks and all their items, before any model is opened, so that bad ones cost no time. @throws UsageError, ConfigError, FormatError, DownloadError, Interrupted. */
export async function loadTasks(options: TaskOptions, ctx: RunContext): Promise<LoadedTasks> {
  const inputs: TaskInput[] = [];
  for (const task of await findTasks(options.names, options.includePath)) inputs.push(await loadTaskInput(task, options, ctx));
  return { options, inputs };
}

/**
 * Scores tasks with a student, a teacher, or both. An abort of the signal ends the scoring; what is done by then is reported and written, marked partial.
 * @throws UsageError without a tokenizer, FormatError on an item that asks for nothing or a full disk; Interrupted when no item was scored yet.
 */
export async function evaluateTasks({ options, inputs }: LoadedTasks, models: OpenModels, ctx: RunContext): Promise<TasksReport> {
  const startMs = performance.now();
  const date = Date.now() / 1000;
  const tokenizer = await tokenizerOf(models.tokenizerFolder);
  const runs: TaskRun[] = [];
  for (const input of inputs) {
    const run = await runTask(input, { models, encoder: requestEncoder(tokenizer), maxLength: models.contextLength, unigramSequences: models.unigramSequences }, ctx);
    if (run !== null) runs.push(run);
    if (ctx.signal.aborted) break;
  }
  if (runs.length === 0) throw new Interrupted('the tasks were interrupted before any item was scored');
  const isPartial = runs.length < inputs.length || runs.some(({ report }) => report.isPartial);
  const elapsedMs = performance.now() - startMs;
  const describe = (role: ModelRole): RunDescription => describeRun({ options, models, role }, { tokenizer, date, elapsedSeconds: elapsedMs / 1000, isPartial, tasks: inputs.map(({ task }) => task.task) });
  const files: string[] = [];
  if (options.out !== null) {
    for (const role of ['student', 'teacher'] as const) {
      if (models[role] !== null) files.push(...await writeTaskResults({ out: options.out, runs, role, about: describe(role), logSamples: options.logSamples }));
    }
  }
  return { isPartial, contextLength: models.contextLength, results: Object.fromEntries(runs.map(({ report }) => [report.task, report])), files, elapsedMs: Math.round(elapsedMs) };
}

async function tokenizerOf(folder: string): Promise<Tokenizer> {
  if (await hasTokenizer(folder)) return loadTokenizer(folder);
  throw new UsageError(`${folder} has no tokenizer, so the tasks' texts cannot be turned into tokens`, { suggestions: ['Copy the tokenizer files of the original model into the folder'] });
}

interface Described {
  readonly options: TaskOptions;
  readonly models: OpenModels;
  readonly role: ModelRole;
}

type Measured = Pick<RunDescription, 'date' | 'elapsedSeconds' | 'isPartial' | 'tasks'> & { readonly tokenizer: Tokenizer };

function describeRun({ options, models, role }: Described, { tokenizer, ...measured }: Measured): RunDescription {
  const model = models[role] as LanguageModel;
  const special = (id: number | null): SpecialToken | null => (id === null ? null : { id, text: tokenizer.decode([id], { skipSpecialTokens: false }) });
  return {
    modelName: models.names[role], modelArgs: `pretrained=${models.names[role]},backend=${model.backend},precision=${model.precision},time_steps=${model.timeSteps}`, parameters: null,
    dtype: model.precision, device: model.backend, limit: options.limit, bos: special(tokenizer.bosId), eos: special(tokenizer.eosId), maxLength: models.contextLength,
    bispikVersion: options.bispikVersion, ...measured,
  };
}
