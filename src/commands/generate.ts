import { Args, Flags } from '@oclif/core';

import { BaseCommand } from '../cli/base-command.js';
import { numberFlag, runFlags } from '../cli/flags.js';
import { createTextStream } from '../cli/text-stream.js';

export default class Generate extends BaseCommand {
  static override summary = 'Let a student or a teacher write.';
  static override description = 'Continues a prompt token by token. The text goes to stdout as it is made; speed and accumulates per token go to stderr.';
  static override examples = [
    '<%= config.bin %> generate runs/stories/student --prompt "Once upon a time"',
    '<%= config.bin %> generate runs/shakespeare/student --prompt "ROMEO:" --max-new-tokens 80 --temperature 0.8 --top-p 0.95 --seed 7',
    '<%= config.bin %> generate runs/stories/student --prompt "The fox" --temperature 0 --stop "." --json',
  ];
  static override args = {
    model: Args.directory({ required: true, description: 'Student, run or teacher folder.' }),
  };
  static override flags = {
    prompt: Flags.string({ required: true, helpValue: 'TEXT', summary: 'What the text begins with.' }),
    'max-new-tokens': Flags.integer({ min: 1, default: 64, helpValue: 'COUNT', summary: 'Write at most this many tokens.' }),
    temperature: numberFlag({ default: 1, summary: 'Below 1 safer, above 1 wilder; 0 always takes the most probable token.' }),
    'top-k': Flags.integer({ min: 1, helpValue: 'COUNT', summary: 'Draw from this many most probable tokens [default: all].' }),
    'top-p': numberFlag({ summary: 'Draw from the fewest tokens whose probability reaches this [default: all].' }),
    'repetition-penalty': numberFlag({ default: 1, summary: 'Above 1 makes tokens already present less probable.' }),
    seed: Flags.integer({ min: 0, default: 0, helpValue: 'SEED', summary: 'The same seed gives the same text.' }),
    stop: Flags.string({ multiple: true, multipleNonGreedy: true, helpValue: 'TEXT', summary: 'End before this text; may be repeated.' }),
    samples: Flags.integer({ min: 1, default: 1, helpValue: 'COUNT', summary: 'Write several texts; sample n draws with seed + n.' }),
    slide: Flags.boolean({ summary: 'Go on where the context is full: forget its older half.' }),
    ...runFlags('int8'),
  };

  async run() {
    const { args, flags } = await this.parse(Generate);
    const { generateText } = await import('../core/pipeline/generate-text.js');
    const stream = createTextStream({ out: process.stdout, aside: process.stderr, isSilent: this.jsonEnabled() });
    const result = await this.work((ctx) => generateText({
      model: args.model, prompt: flags.prompt, maxNewTokens: flags['max-new-tokens'], temperature: flags.temperature,
      topK: flags['top-k'] ?? null, topP: flags['top-p'] ?? null, repetitionPenalty: flags['repetition-penalty'],
      seed: flags.seed, stop: flags.stop ?? [], samples: flags.samples, slide: flags.slide,
      backend: flags.backend, precision: flags.precision ?? null, threads: flags.threads ?? null, onEvent: stream.write,
    }, ctx));
    return result;
  }
}
