import { createHash } from 'node:crypto';

import { FEWSHOT_SEED } from './few-shot.js';
import { BOOTSTRAP_RESAMPLES } from './metrics.js';
import type { MetricReport, ModelRole, TaskReport, TaskRun } from './run-task.js';

/** What a results file says beside the results; the names are lm-evaluation-harness's. */
export interface RunDescription {
  /** As the user named the model. */ readonly modelName: string;
  readonly modelArgs: string;
  readonly parameters: number | null;
  readonly dtype: string;
  readonly device: string;
  readonly limit: number | null;
  /** Token and id, or null. */ readonly bos: SpecialToken | null;
  readonly eos: SpecialToken | null;
  readonly maxLength: number;
  /** Seconds since 1970. */ readonly date: number;
  readonly elapsedSeconds: number;
  readonly bispikVersion: string;
  /** The run was interrupted: fewer items or tasks than asked for. */ readonly isPartial: boolean;
  /** All tasks that were asked for. */ readonly tasks: readonly string[];
}

export interface SpecialToken {
  readonly text: string;
  readonly id: number;
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
/** A number as Python prints a float, so that `12` reads `12.0`. */
const pythonFloat = (value: number): string => (Number.isInteger(value) ? value.toFixed(1) : String(value));
const pythonBool = (value: boolean): string => (value ? 'True' : 'False');

/** The harness's name of a model's folder of results. */
export function sanitizeModelName(name: string): string {
  return name.replaceAll(/["<>:/|\\?*[\]]+/g, '__');
}

/** One line of `samples_*.jsonl` per item. */
export function harnessSamples(run: TaskRun, role: ModelRole): readonly object[] {
  const { input: { items, task }, scores, report } = run;
  const outcomes = report.outcomes[role]!;
  const isRolling = task.output_type === 'loglikelihood_rolling';
  return scores[role]!.slice(0, report.items.scored).map((ofRequests, i) => {
    const item = items[i]!;
    const filtered = ofRequests.map(({ logLikelihood, isGreedy }) => (isRolling ? pythonFloat(logLikelihood) : [pythonFloat(logLikelihood), pythonBool(isGreedy)]));
    const argumentsOf = ({ context, continuation }: { readonly context: string; readonly continuation: string }): object => (isRolling ? { arg_0: continuation } : { arg_0: context, arg_1: continuation });
    const first = item.requests[0]!;
    return {
      doc_id: item.docId, doc: item.row, target: item.target, arguments: Object.fromEntries(item.requests.map((request, n) => [`gen_args_${n}`, argumentsOf(request)])),
      resps: filtered.map((response) => [response]), filtered_resps: filtered, filter: 'none', metrics: Object.keys(outcomes),
      doc_hash: sha256(JSON.stringify(item.row, null, 2)), prompt_hash: sha256(isRolling ? first.continuation : first.context), target_hash: sha256(item.target),
      ...Object.fromEntries(Object.entries(outcomes).map(([metric, { values, weights }]) => [metric, weights === null ? values[i] : [values[i], weights[i]]])),
    };
  });
}

/** SHA-256 over the hashes of all items, as the harness makes it. */
function taskHash(run: TaskRun, role: ModelRole): string {
  const hashes = harnessSamples(run, role) as readonly { readonly doc_hash: string; readonly prompt_hash: string; readonly target_hash: string }[];
  return sha256(hashes.map((sample) => sample.doc_hash + sample.prompt_hash + sample.target_hash).join(''));
}

const metricsOf = (report: TaskReport): readonly (readonly [string, MetricReport])[] => Object.entries(report.metrics);

function resultsOf(report: TaskReport, role: ModelRole): object {
  const values = metricsOf(report).flatMap(([metric, of]) => [[`${metric},none`, of[role]!.value], [`${metric}_stderr,none`, of[role]!.stderr ?? 'N/A']] as const);
  return { name: report.task, alias: report.task, sample_len: report.items.scored, ...Object.fromEntries(values) };
}

/** What stands beside the scores and has no place in the harness's own file. */
function besideOf(report: TaskReport): object {
  const { metrics, items, isPartial, source, split, truncatedItems, overlongItems, unigram, taskHash: fileHash } = report;
  const beside = Object.fromEntries(Object.entries(metrics).map(([metric, { chance, unigram: frequency, skill }]) => [metric, { chance, unigram: frequency, ...(skill === undefined ? {} : { skill }) }]));
  return { items, isPartial, split, source, truncatedItems, overlongItems, unigram, taskFileSha256: fileHash, metrics: beside };
}

/** The content of `results_*.json` for one model. Our own additions are under `bispik`. */
export function harnessResults(runs: readonly TaskRun[], role: ModelRole, about: RunDescription): object {
  const byTask = <Value>(of: (run: TaskRun) => Value): Record<string, Value> => Object.fromEntries(runs.map((run) => [run.report.task, of(run)]));
  const token = (special: SpecialToken | null): readonly string[] => (special === null ? ['None', 'None'] : [special.text, String(special.id)]);
  return {
    results: byTask(({ report }) => resultsOf(report, role)),
    groups: {}, group_subtasks: byTask(() => []),
    configs: byTask(({ input: { task, shots } }) => configOf(task, shots)),
    versions: byTask(({ report }) => report.version), 'n-shot': byTask(({ report }) => report.shots),
    higher_is_better: byTask(({ report }) => Object.fromEntries(metricsOf(report).map(([metric, { higherIsBetter }]) => [metric, higherIsBetter]))),
    'n-samples': byTask(({ report: { items } }) => ({ original: items.original, effective: items.scored })),
    config: {
      model: 'bispik', model_args: about.modelArgs, model_num_parameters: about.parameters, model_dtype: about.dtype, batch_size: null, batch_sizes: [], device: about.device,
      use_cache: null, limit: about.limit, bootstrap_iters: BOOTSTRAP_RESAMPLES, gen_kwargs: {}, random_seed: 0, numpy_seed: 1234, torch_seed: 1234, fewshot_seed: FEWSHOT_SEED,
    },
    git_hash: null, date: about.date, pretty_env_info: `Node.js ${process.version} on ${process.platform} ${process.arch}`, upper_git_hash: null,
    tokenizer_pad_token: token(null), tokenizer_eos_token: token(about.eos), tokenizer_bos_token: token(about.bos), eot_token_id: about.eos?.id ?? null, max_length: about.maxLength,
    task_hashes: byTask((run) => taskHash(run, role)),
    model_source: 'bispik', model_name: about.modelName, model_name_sanitized: sanitizeModelName(about.modelName),
    system_instruction: null, system_instruction_sha: null, fewshot_as_multiturn: null, chat_template: null, chat_template_sha: null,
    total_evaluation_time_seconds: String(about.elapsedSeconds),
    bispik: { version: about.bispikVersion, role, isPartial: about.isPartial, askedTasks: about.tasks, tasks: byTask(({ report }) => besideOf(report)) },
  };
}

/** A task's settings under the harness's names, as far as both have them. */
function configOf(task: TaskRun['input']['task'], shots: number): object {
  return {
    task: task.task, dataset_path: task.dataset?.path ?? null, dataset_name: task.dataset?.name ?? null, output_type: task.output_type === 'multiple_context' ? 'multiple_choice' : task.output_type,
    test_split: task.split, fewshot_split: task.fewshot_split, num_fewshot: shots, target_delimiter: task.target_delimiter, fewshot_delimiter: task.fewshot_delimiter,
    metric_list: task.metrics, metadata: { version: task.version }, description: task.description,
  };
}
