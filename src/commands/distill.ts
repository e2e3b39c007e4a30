import { Flags } from '@oclif/core';

import { BaseCommand } from '../cli/base-command.js';
import { configFlag, setFlag, threadsFlag } from '../cli/flags.js';
import { renderDistill } from '../cli/render.js';

export default class Distill extends BaseCommand {
  static override summary = 'Distil a teacher into a binary spiking student.';
  static override description = ['Trains a spiking student to follow its teacher. The run folder receives the resolved configuration, metrics.jsonl,',
    'checkpoints and the best student. Ctrl-C writes a checkpoint; --resume continues from the last good one and ends in the same weights.'].join(' ');
  static override examples = [
    '<%= config.bin %> distill --config configs/distill/stories.yaml',
    '<%= config.bin %> distill --config configs/distill/shakespeare.yaml --set train.steps=300 --set student.timeSteps=4',
    '<%= config.bin %> distill --resume runs/shakespeare',
  ];
  static override flags = {
    config: Flags.file({ ...configFlag, exactlyOne: ['config', 'resume'] }),
    resume: Flags.directory({ helpValue: 'DIR', summary: 'Run folder to continue, with the configuration it was started with.' }),
    set: Flags.string({ ...setFlag, dependsOn: ['config'] }),
    'cache-teacher': Flags.boolean({ dependsOn: ['config'], summary: 'Train from teacher outputs kept on disk; run the teacher only on what is not there yet.' }),
    profile: Flags.boolean({ summary: 'Measure where the time of five steps goes, kernel by kernel, into profile.json of the run folder.' }),
    threads: Flags.integer(threadsFlag),
  };

  async run() {
    const { flags } = await this.parse(Distill);
    const { loadDistillConfig } = await import('../core/config/load.js');
    const cacheTeacher = flags['cache-teacher'] ? { teacherCache: { enabled: true } } : {};
    const start = flags.config === undefined
      ? { resume: flags.resume as string, profile: flags.profile }
      : { profile: flags.profile, config: await loadDistillConfig({ file: flags.config, overrides: flags.set ?? [], flags: cacheTeacher }) };
    const { distill } = await import('../core/pipeline/distill.js');
    const result = await this.work((ctx) => distill({ ...start, threads: flags.threads ?? null }, ctx));
    this.log(renderDistill(result));
    return result;
  }
}
