import { teacherName } from '../config/shipped.js';
import { readCorpusText } from '../corpus/text.js';
import { loadEnergyConstants } from '../energy/constants.js';
import type { EnergyConvention } from '../energy/conventions.js';
import { loadConventions } from '../energy/conventions.js';
import { energyTrace } from '../energy/trace.js';
import { UsageError } from '../errors.js';
import type { EvalOptions, EvalReport } from '../eval/evaluate.js';
import { evaluate, modelsOf, sharedContext } from '../eval/evaluate.js';
import { encodeText, readTokenSequences } from '../eval/token-sequences.js';
import { explainWriteFailure, writeTextAtomically } from '../hub/atomic-write.js';
import { loadTokenizer } from '../tokenizer/load.js';
import type { LanguageModel, RunContext, TokenIds } from '../types.js';
import type { TaskOptions, TasksReport } from './evaluate-tasks.js';
import { evaluateTasks, loadTasks } from './evaluate-tasks.js';
import type { GateOptions, GateResult } from './gate-evaluation.js';
import { gateEvaluation } from './gate-evaluation.js';
import type { ModelFolder, RunWith } from './open-model.js';
import { checkRunWith, findModel, openModel, teacherOfStudent } from './open-model.js';
import { hasTokenizer } from './tokenizer-files.js';
import type { Verification } from './verify-model.js';

/** What `bispik eval` was asked. */
export interface EvaluateModelOptions extends RunWith {
  /** Student, run or teacher folder. */ readonly model: string;
  /** UTF-8 text, or .jsonl with one array of token ids a line; null: no text, only tasks. */ readonly data: string | null;
  /** Evaluation tasks; null: only the text. */ readonly tasks: TaskOptions | null;
  /** Teacher folder; null: the one the student names. */ readonly teacher: string | null;
  readonly context: number | null;
  readonly stride: number | null;
  /** Text the n-gram baselines are counted on; null: the evaluated text as it goes, or a task's own texts. */ readonly ngramData: string | null;
  /** File that receives every counted event and its cost on the text; null: none. */ readonly trace: string | null;
  /** Prove on the text's first tokens that only spikes enter matrix products. */ readonly verify: boolean;
  /** Compare with a stored run; null: do not. */ readonly gate: GateOptions | null;
}

/** Measures the student as it was trained; what `generate` runs with is asked for. */
export const EVAL_PRECISION = 'float32';

/** What was measured on a text, on tasks, or on both. */
export type ModelEvaluation = (EvalReport | { readonly [Key in keyof EvalReport]?: never }) & {
  /** Left out where no task was asked for. */ readonly tasks?: TasksReport;
  /** Left out where it was not asked for. */ readonly verification?: Verification;
  /** Left out where no baseline was named. */ readonly gate?: GateResult;
};

/** Measures a student beside its teacher, or a teacher alone, on a text, on tasks, or on both. @throws whatever its files, texts and backend give cause for. */
export async function evaluateModel(options: EvaluateModelOptions, ctx: RunContext): Promise<ModelEvaluation> {
  const { data, tasks } = options;
  if (data === null && tasks === null) throw new UsageError('there is nothing to evaluate on', { suggestions: ['--data valid.txt', '--tasks arc_easy,piqa', 'bispik eval --help'] });
  checkRunWith(options);
  const found = await findModel(options.model);
  const sequences = data === null ? null : await readSequences(data, found.folder);
  const ngramSequences = options.ngramData === null ? null : await readSequences(options.ngramData, found.folder);
  const loaded = tasks === null ? null : await loadTasks(tasks, ctx);
  const { names, ...models } = await openPair(found, options, ctx);
  try {
    const onText = sequences === null ? {} : await evaluateText({ ...models, sequences, ngramSequences }, options, ctx);
    const contextLength = sharedContext(options.context, modelsOf(models));
    const onTasks = loaded === null ? {} : { tasks: await evaluateTasks(loaded, { ...models, names, tokenizerFolder: found.folder, contextLength, unigramSequences: ngramSequences }, ctx) };
    const evaluation = { ...onText, ...onTasks };
    const gate = options.gate === null ? {} : { gate: await gateEvaluation(options.gate, { models, sequences, evaluation }) };
    return { ...evaluation, ...(options.verify ? { verification: await verify(found, sequences) } : {}), ...gate };
  } finally {
    models.student?.dispose();
    models.teacher?.dispose();
  }
}

/** Loads the training graph only where it is asked for. @throws UsageError for a dense model or without a text; NumericError. */
async function verify({ kind, folder }: ModelFolder, sequences: readonly TokenIds[] | null): Promise<Verification> {
  if (kind !== 'student' || sequences === null) throw new UsageError('--verify is for spiking students and a text', { suggestions: ['bispik eval STUDENT --data FILE --verify'] });
  const { verifyModel } = await import('./verify-model.js');
  return verifyModel(folder, sequences);
}

type OnText = Pick<EvalOptions, 'student' | 'teacher' | 'sequences' | 'ngramSequences'>;

async function evaluateText(onText: OnText, { context, stride, trace }: EvaluateModelOptions, ctx: RunContext): Promise<EvalReport> {
  const [constants, conventions] = [await loadEnergyConstants(), await loadConventions()];
  const report = await evaluate({ ...onText, constants, conventions, contextLength: context, stride }, ctx);
  if (trace !== null) await writeTrace(trace, report, conventions);
  return report;
}

async function writeTrace(path: string, { student }: EvalReport, conventions: readonly EnergyConvention[]): Promise<void> {
  if (student === undefined) throw new UsageError('--trace is for spiking students: a dense model has no events to count');
  const { ledger, dense, conventions: results } = student.account;
  const text = `${JSON.stringify(energyTrace({ ledger, dense, conventions, results }), null, 2)}\n`;
  await writeTextAtomically(path, text).catch((cause: unknown) => { throw explainWriteFailure(path, cause); });
}

/** Token ids of a text in the tokenizer of a model folder, or those of a .jsonl file. @throws UsageError when a text needs a tokenizer that is not there. */
export async function readSequences(path: string, modelFolder: string): Promise<readonly TokenIds[]> {
  if (path.endsWith('.jsonl')) return readTokenSequences(path);
  if (!(await hasTokenizer(modelFolder))) {
    throw new UsageError(`${modelFolder} has no tokenizer, so ${path} cannot be turned into tokens`, {
      suggestions: ['Give token ids instead: --data ids.jsonl, one JSON array a line'],
    });
  }
  return encodeText(await readCorpusText(path), await loadTokenizer(modelFolder));
}

interface Pair {
  readonly student: LanguageModel | null;
  readonly teacher: LanguageModel | null;
  /** As the user, or the student's provenance, named them. */ readonly names: { readonly student: string; readonly teacher: string };
}

async function openPair(found: ModelFolder, options: EvaluateModelOptions, ctx: RunContext): Promise<Pair> {
  const open = (model: ModelFolder, backend: RunWith['backend']): Promise<LanguageModel> =>
    openModel(model, { ...options, precision: options.precision ?? EVAL_PRECISION, backend }, ctx.reporter);
  if (found.kind === 'teacher') {
    if (options.teacher !== null) throw new UsageError(`${options.model} is a teacher itself: --teacher goes with a student`);
    return { student: null, teacher: await open(found, options.backend), names: { student: '', teacher: options.model } };
  }
  const teacherPath = options.teacher ?? (await teacherOfStudent(found.folder));
  if (teacherPath === null) {
    ctx.reporter.notice('The teacher of this student is not where its provenance says, so only the student is measured (name it with --teacher DIR).');
    return { student: await open(found, options.backend), teacher: null, names: { student: options.model, teacher: '' } };
  }
  const teacher = await findModel(teacherPath);
  if (teacher.kind !== 'teacher') throw new UsageError(`--teacher ${teacherPath} is a spiking student`, { suggestions: ['Name a teacher folder'] });
  const student = await open(found, options.backend);
  const names = { student: options.model, teacher: options.teacher ?? teacherName(teacherPath) };
  return { student, teacher: await open(teacher, options.backend === 'engine' ? 'auto' : options.backend), names };
}
