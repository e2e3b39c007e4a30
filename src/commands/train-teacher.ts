import { Flags } from '@oclif/core';

import { BaseCommand } from '../cli/base-command.js';
import { configFlag, setFlag, threadsFlag } from '../cli/flags.js';
import { renderTeacherRun } from '../cli/render.js';

export default class TrainTeacher extends BaseCommand {
  static override summary = 'Train a small dense teacher from scratch.';
  static override description = 'For texts that no ready teacher fits: trains a byte-pair tokenizer and an OPT-shaped model on your text, keeps the best weights.';
  static override examples = [
    '<%= config.bin %> train-teacher --config configs/teacher/shakespeare.yaml',
    '<%= config.bin %> train-teacher --config configs/teacher/stories.yaml --set train.steps=500 --set run=runs/short',
  ];
  static override flags = {
    config: Flags.file({ ...configFlag, required: true }),
    set: Flags.string(setFlag),
    threads: Flags.integer(threadsFlag),
  };

  async run() {
    const { flags } = await this.parse(TrainTeacher);
    const { loadTeacherConfig } = await import('../core/config/load.js');
    const config = await loadTeacherConfig({ file: flags.config, overrides: flags.set ?? [] });
    const { trainTeacher } = await import('../core/pipeline/train-teacher.js');
    const result = await this.work((ctx) => trainTeacher({ config, threads: flags.threads ?? null }, ctx));
    this.log(renderTeacherRun(result));
    return result;
  }
}
