import { Args, Flags } from '@oclif/core';

import { BaseCommand } from '../cli/base-command.js';
import { runFlags } from '../cli/flags.js';
import { renderEval } from '../cli/render.js';

export default class Eval extends BaseCommand {
  static override summary = 'Measure a student beside its teacher.';
  static override description = ['Token perplexity over a text by sliding windows, the firing rate of every site, counted accumulates and multiplies, and the',
    'energy they stand for, beside the teacher and two n-gram baselines on the same targets.'].join(' ');
  static override examples = [
    '<%= config.bin %> eval runs/stories/student --data valid.txt',
    '<%= config.bin %> eval runs/stories/student --data valid.txt --stride 32 --json',
    '<%= config.bin %> eval runs/stories/student --data valid.txt --precision int8 --threads 2',
    '<%= config.bin %> eval models/opt-125m --data valid.txt --context 512',
  ];
  static override args = {
    model: Args.directory({ required: true, description: 'Student, run or teacher folder.' }),
  };
  static override flags = {
    data: Flags.file({ required: true, helpValue: 'FILE', summary: 'UTF-8 text; or FILE.jsonl with an array of token ids a line.' }),
    teacher: Flags.directory({ helpValue: 'DIR', summary: 'Teacher folder, where the student does not know it.' }),
    context: Flags.integer({ min: 2, helpValue: 'TOKENS', summary: 'Length of a window [default: that of the model].' }),
    stride: Flags.integer({ min: 1, helpValue: 'TOKENS', summary: 'Step from window to window [default: the context].' }),
    'ngram-data': Flags.file({ helpValue: 'FILE', summary: 'Text the n-gram baselines learn from [default: --data, as it goes].' }),
    trace: Flags.file({ helpValue: 'FILE', summary: 'Write every counted event and what it costs, so that anyone can check the joules (JSON).' }),
    ...runFlags('float32'),
  };

  async run() {
    const { args, flags } = await this.parse(Eval);
    const { evaluateModel } = await import('../core/pipeline/evaluate-model.js');
    const result = await this.work((ctx) => evaluateModel({
      model: args.model, data: flags.data, teacher: flags.teacher ?? null, context: flags.context ?? null,
      stride: flags.stride ?? null, ngramData: flags['ngram-data'] ?? null, trace: flags.trace ?? null,
      backend: flags.backend, precision: flags.precision ?? null, threads: flags.threads ?? null,
    }, ctx));
    this.log(renderEval(result));
    return result;
  }
}
