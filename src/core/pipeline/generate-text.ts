import type { Generation, GenerationEvent } from '../generate/generate.js';
import { generate } from '../generate/generate.js';
import { UsageError } from '../errors.js';
import { loadTokenizer } from '../tokenizer/load.js';
import type { RunContext, WeightPrecision, WorkDone } from '../types.js';
import type { RunWith } from './open-model.js';
import { checkRunWith, findModel, openModel } from './open-model.js';
import { hasTokenizer } from './tokenizer-files.js';

/** What `bispik generate` was asked. */
export interface GenerateTextOptions extends RunWith {
  /** Student, run or teacher folder. */ readonly model: string;
  readonly prompt: string;
  readonly maxNewTokens: number;
  readonly temperature: number;
  readonly topK: number | null;
  readonly topP: number | null;
  readonly repetitionPenalty: number;
  readonly seed: number;
  readonly stop: readonly string[];
  readonly samples: number;
  /** Go on beyond the context. */ readonly slide: boolean;
  /** Hears text as soon as it is sure. */ readonly onEvent: (event: GenerationEvent) => void;
}

/** The first sample, and all of them where several were asked for. */
export interface GenerateTextReport extends Generation {
  readonly backend: string;
  readonly precision: WeightPrecision;
  readonly threads: number;
  /** What the engine did for all samples; null on a tensor backend. */ readonly work: WorkDone | null;
  readonly samples: readonly Generation[];
}

/** Fast, and a text does not show the difference. */
export const GENERATE_PRECISION = 'int8';

/** Lets a model write. @throws UsageError on a prompt longer than the context, or a model without a tokenizer. */
export async function generateText(options: GenerateTextOptions, ctx: RunContext): Promise<GenerateTextReport> {
  checkRunWith(options);
  const found = await findModel(options.model);
  if (!(await hasTokenizer(found.folder))) throw new UsageError(`${found.folder} has no tokenizer, so it cannot read a prompt`);
  const tokenizer = await loadTokenizer(found.folder);
  const model = await openModel(found, { ...options, precision: options.precision ?? GENERATE_PRECISION }, ctx.reporter);
  const samples: Generation[] = [];
  try {
    for await (const event of generate({ ...options, model, tokenizer }, ctx)) {
      options.onEvent(event);
      if (event.type === 'end') samples.push(event.generation);
    }
  } finally {
    model.dispose();
  }
  const [first] = samples;
  if (first === undefined) throw new UsageError(`--samples ${options.samples} asks for no text`);
  return { ...first, backend: model.backend, precision: model.precision, threads: model.threads, work: model.work, samples };
}
