import type { BackendName } from '../config/schema.js';
import type { Generation, GenerationEvent } from '../generate/generate.js';
import { generate } from '../generate/generate.js';
import { UsageError } from '../errors.js';
import { loadTokenizer } from '../tokenizer/load.js';
import type { RunContext } from '../types.js';
import { findModel, openModel } from './open-model.js';
import { prepareBackend } from './prepare-backend.js';
import { hasTokenizer } from './tokenizer-files.js';

/** What `bispik generate` was asked. */
export interface GenerateTextOptions {
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
  readonly backend: BackendName;
  /** Hears text as soon as it is sure. */ readonly onEvent: (event: GenerationEvent) => void;
}

/** The first sample, and all of them where several were asked for. */
export interface GenerateTextReport extends Generation {
  readonly backend: string;
  readonly samples: readonly Generation[];
}

/** Lets a model write. @throws UsageError on a prompt longer than the context, or a model without a tokenizer. */
export async function generateText(options: GenerateTextOptions, ctx: RunContext): Promise<GenerateTextReport> {
  const found = await findModel(options.model);
  if (!(await hasTokenizer(found.folder))) throw new UsageError(`${found.folder} has no tokenizer, so it cannot read a prompt`);
  const tokenizer = await loadTokenizer(found.folder);
  const backend = await prepareBackend(options.backend);
  const model = await openModel(found);
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
  return { ...first, backend: backend.name, samples };
}
