import { Args, Flags } from '@oclif/core';

import { BaseCommand } from '../cli/base-command.js';
import { runFlags } from '../cli/flags.js';
import { renderServe } from '../cli/render.js';

export default class Serve extends BaseCommand {
  static override summary = 'Answer completion requests over HTTP.';
  static override description = ['OpenAI-style /v1/completions (echo, logprobs, stop, stream) and /v1/models, so that lm-evaluation-harness (local-completions)',
    'and other clients can use a model. Ctrl-C ends the server once the answers under way are out.'].join(' ');
  static override examples = [
    '<%= config.bin %> serve runs/stories/student',
    '<%= config.bin %> serve runs/stories/student --port 8080 --name stories --precision float32',
  ];
  static override args = {
    model: Args.directory({ required: true, description: 'Student, run or teacher folder.' }),
  };
  static override flags = {
    host: Flags.string({ default: '127.0.0.1', helpValue: 'ADDRESS', summary: 'Where to listen; there is no password, so think before you name anything but this machine.' }),
    port: Flags.integer({ min: 0, max: 65_535, default: 8000, helpValue: 'PORT', summary: '0 takes any free one.' }),
    name: Flags.string({ helpValue: 'NAME', summary: 'What requests call the model [default: its folder\'s name].' }),
    concurrency: Flags.integer({ min: 1, max: 64, default: 8, helpValue: 'COUNT', summary: 'Requests answered at the same time; others wait.' }),
    ...runFlags('int8'),
  };

  async run() {
    const { args, flags } = await this.parse(Serve);
    const { serveModel } = await import('../core/pipeline/serve-model.js');
    const result = await this.work((ctx) => serveModel({
      model: args.model, name: flags.name ?? null, host: flags.host, port: flags.port, concurrency: flags.concurrency,
      backend: flags.backend, precision: flags.precision ?? null, threads: flags.threads ?? null,
      onReady: ({ url, name }) => { ctx.reporter.notice(`"${name}" answers at ${url}/v1/completions; Ctrl-C ends it`); },
    }, ctx));
    this.log(renderServe(result));
    return result;
  }
}
