import { Args, Flags } from '@oclif/core';

import { BaseCommand } from '../cli/base-command.js';
import { numberFlag } from '../cli/flags.js';
import { renderImport } from '../cli/render.js';

export default class ImportTeacher extends BaseCommand {
  static override summary = 'Bring a dense language model into a teacher folder.';
  static override description = ['Downloads a model of the OPT family from the Hugging Face hub, or reads a local folder; checks every file and every',
    'tensor; writes a folder in Hugging Face layout with the source, the commit and the hashes of all files. Weights may be safetensors',
    '(also sharded) or pytorch_model.bin, which is read without executing anything. On arrival the teacher is run on a short text.',
    'HF_TOKEN, HF_ENDPOINT and HF_HOME are honoured.'].join(' ');
  static override examples = [
    '<%= config.bin %> import-teacher facebook/opt-125m --out models/opt-125m',
    '<%= config.bin %> import-teacher ./downloads/opt-1.3b --out models/opt-1.3b',
    '<%= config.bin %> import-teacher facebook/opt-125m --out models/opt-125m --expect-ppl 27.65 --data wikitext2-test.txt',
  ];
  static override args = {
    source: Args.string({ required: true, description: 'Repository on the hub (owner/name), or a local folder.' }),
  };
  static override flags = {
    out: Flags.directory({ required: true, helpValue: 'DIR', summary: 'Teacher folder to write.' }),
    revision: Flags.string({ default: 'main', helpValue: 'NAME', summary: 'Branch, tag or commit; resolved to a commit once and recorded.' }),
    token: Flags.string({ helpValue: 'TOKEN', summary: 'Access token for private repositories [default: HF_TOKEN].' }),
    endpoint: Flags.string({ helpValue: 'URL', summary: 'Hub to download from [default: HF_ENDPOINT or https://huggingface.co].' }),
    'cache-dir': Flags.directory({ helpValue: 'DIR', summary: 'Where downloads are kept [default: HF_HOME/hub].' }),
    offline: Flags.boolean({ default: false, summary: 'Use only what is already downloaded.' }),
    force: Flags.boolean({ default: false, summary: 'Replace an existing teacher folder.' }),
    'expect-ppl': numberFlag({ dependsOn: ['data'], summary: 'Fail unless the perplexity on --data is this, within 1 %.' }),
    data: Flags.file({ helpValue: 'FILE', summary: 'UTF-8 text on which the teacher is run on arrival.' }),
  };

  async run() {
    const { args, flags } = await this.parse(ImportTeacher);
    const { environment } = this;
    const { importTeacher } = await import('../core/pipeline/import-teacher.js');
    const result = await this.work((ctx) => importTeacher({
      source: args.source, out: flags.out, revision: flags.revision,
      token: flags.token ?? environment.token, endpoint: flags.endpoint ?? environment.endpoint,
      cacheDir: flags['cache-dir'] ?? environment.cacheDir, offline: flags.offline, overwrite: flags.force,
      expectPerplexity: flags['expect-ppl'] ?? null,
      data: flags.data ?? null,
      bispikVersion: this.config.version,
    }, ctx));
    this.log(renderImport(result));
    return result;
  }
}
