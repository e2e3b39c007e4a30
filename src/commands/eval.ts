import { Args, Flags } from '@oclif/core';

import { BaseCommand } from '../cli/base-command.js';
import { numberFlag, runFlags } from '../cli/flags.js';
import { renderEvaluation } from '../cli/render-evaluation.js';

/** Flags that make sense with `--tasks` only; a default would count as given. */
const ofTasks = { helpGroup: 'TASKS', dependsOn: ['tasks'] };

export default class Eval extends BaseCommand {
  static override summary = 'Measure a student beside its teacher.';
  static override description = ['On a text (--data): token perplexity by sliding windows, the firing rate of every site, counted accumulates and multiplies,',
    'and the energy they stand for, beside the teacher and two n-gram baselines on the same targets. On tasks (--tasks): scores by the rules of',
    'lm-evaluation-harness, each beside what guessing and token frequencies alone give, and the share of the teacher\'s skill that was kept.',
    'Ctrl-C ends the tasks with a partial result, marked as such. Against a stored run (--baseline): what moved, and exit code 8 when it got worse.'].join(' ');
  static override examples = [
    '<%= config.bin %> eval runs/stories/student --data valid.txt',
    '<%= config.bin %> eval runs/stories/student --data valid.txt --stride 32 --json',
    '<%= config.bin %> eval runs/stories/student --data valid.txt --precision int8 --threads 2',
    '<%= config.bin %> eval models/opt-125m --data valid.txt --context 512',
    '<%= config.bin %> eval runs/stories/student --tasks arc_easy,piqa,winogrande --out results --log-samples',
    '<%= config.bin %> eval runs/stories/student --data valid.txt --verify --trace trace.json',
    '<%= config.bin %> eval runs/stories/student --data valid.txt --baseline baseline.json --reports reports',
    '<%= config.bin %> eval models/opt-125m --tasks sciq --data-path benchmarks --num-fewshot 5 --limit 200',
  ];
  static override args = {
    model: Args.directory({ required: true, description: 'Student, run or teacher folder.' }),
  };
  static override flags = {
    data: Flags.file({ helpValue: 'FILE', summary: 'UTF-8 text; or FILE.jsonl with an array of token ids a line.' }),
    teacher: Flags.directory({ helpValue: 'DIR', summary: 'Teacher folder, where the student does not know it.' }),
    context: Flags.integer({ min: 2, helpValue: 'TOKENS', summary: 'Length of a window [default: that of the model].' }),
    stride: Flags.integer({ min: 1, helpValue: 'TOKENS', summary: 'Step from window to window [default: the context].' }),
    'ngram-data': Flags.file({ helpValue: 'FILE', summary: 'Text the n-gram baselines learn from [default: what is evaluated].' }),
    trace: Flags.file({ dependsOn: ['data'], helpValue: 'FILE', summary: 'Write every counted event and what it costs, so that anyone can check the joules (JSON).' }),
    verify: Flags.boolean({ dependsOn: ['data'], summary: 'Prove on the first tokens that only 0 and 1 enter matrix products, operation by operation.' }),
    ...runFlags('float32'),
    baseline: Flags.file({ helpGroup: 'GATE', helpValue: 'FILE', summary: 'Compare with a stored run; ends with 8 when something got worse (docs/gate.md).' }),
    bless: Flags.boolean({ helpGroup: 'GATE', dependsOn: ['baseline'], summary: 'Make this run the baseline, or one more repeat of it.' }),
    reports: Flags.directory({ helpGroup: 'GATE', dependsOn: ['baseline'], helpValue: 'DIR', summary: 'Where to write the comparison as JSON, JUnit XML and Markdown.' }),
    tasks: Flags.string({ multiple: true, delimiter: ',', multipleNonGreedy: true, helpValue: 'NAME', helpGroup: 'TASKS', summary: 'Evaluation tasks, separated by commas (docs/tasks.md lists them).' }),
    'data-path': Flags.directory({ ...ofTasks, helpValue: 'DIR', summary: 'Folder with DIR/TASK/*.jsonl or .parquet [default: datasets of the hub].' }),
    'include-path': Flags.directory({ ...ofTasks, helpValue: 'DIR', summary: 'Folder of your own task files (YAML).' }),
    'num-fewshot': Flags.integer({ ...ofTasks, min: 0, helpValue: 'COUNT', summary: 'Examples before each item [default: none].' }),
    limit: numberFlag({ ...ofTasks, summary: 'Items a task; below 1 a share of them [default: all].' }),
    out: Flags.directory({ ...ofTasks, helpValue: 'DIR', summary: 'Where to write results in lm-evaluation-harness\'s layout.' }),
    'log-samples': Flags.boolean({ helpGroup: 'TASKS', dependsOn: ['out'], summary: 'Write every prompt and answer beside the results.' }),
  };

  async run() {
    const { args, flags } = await this.parse(Eval);
    const { evaluateModel } = await import('../core/pipeline/evaluate-model.js');
    const { token, endpoint, cacheDir } = this.environment;
    const tasks = flags.tasks === undefined ? null : {
      names: flags.tasks, dataPath: flags['data-path'] ?? null, includePath: flags['include-path'] ?? null, shots: flags['num-fewshot'] ?? 0, limit: flags.limit ?? null,
      out: flags.out ?? null, logSamples: flags['log-samples'] ?? false, hub: { token, endpoint, cacheDir }, bispikVersion: this.config.version,
    };
    const result = await this.work((ctx) => evaluateModel({
      model: args.model, data: flags.data ?? null, tasks, teacher: flags.teacher ?? null, context: flags.context ?? null,
      stride: flags.stride ?? null, ngramData: flags['ngram-data'] ?? null, trace: flags.trace ?? null, verify: flags.verify ?? false,
      gate: flags.baseline === undefined ? null : { baseline: flags.baseline, bless: flags.bless ?? false, reports: flags.reports ?? null },
      backend: flags.backend, precision: flags.precision ?? null, threads: flags.threads ?? null,
    }, ctx));
    if (result.tasks?.isPartial === true) this.endWith(130);
    else if (result.gate?.passed === false) this.endWith(8);
    this.log(renderEvaluation(result));
    return result;
  }
}
