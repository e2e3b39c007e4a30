import { z } from 'zod';

import { nearestOf } from '../config/nearest.js';
import { ApiError } from './api-error.js';

/** A checked request to /v1/completions. */
export interface CompletionRequest {
  /** Texts, or token ids as they are. */ readonly prompts: readonly (string | readonly number[])[];
  readonly maxTokens: number;
  /** Continuations of each prompt. */ readonly n: number;
  readonly temperature: number;
  readonly topP: number | null;
  readonly topK: number | null;
  readonly repetitionPenalty: number;
  /** Most probable tokens reported beside each token; null: no log-probabilities. */ readonly logprobs: number | null;
  /** Give the prompt back before the continuation, with its own log-probabilities where they are asked for. */ readonly echo: boolean;
  readonly stop: readonly string[];
  /** Null: another text each time. */ readonly seed: number | null;
  readonly stream: boolean;
  /** A last event of the stream says how many tokens it took. */ readonly hasStreamUsage: boolean;
}

/** Continuations of one request, all prompts together. */
export const MOST_CHOICES = 128;
const MOST_LOGPROBS = 20;
const MOST_STOPS = 16;

const tokenId = z.number().int().nonnegative();
const nullish = <S extends z.ZodType>(schema: S) => schema.nullish();
/** A field that may be there only with the value that changes nothing. */
const only = (value: number) => nullish(z.literal(value));

const schema = z.strictObject({
  model: z.string(),
  prompt: z.union([z.string(), z.array(z.string()).min(1), z.array(tokenId).min(1), z.array(z.array(tokenId).min(1)).min(1)]),
  max_tokens: nullish(z.number().int().nonnegative()),
  n: nullish(z.number().int().min(1)),
  temperature: nullish(z.number().min(0).max(100)),
  top_p: nullish(z.number().gt(0).max(1)),
  top_k: nullish(z.number().int().min(-1)),
  repetition_penalty: nullish(z.number().gt(0)),
  logprobs: nullish(z.number().int().min(0).max(MOST_LOGPROBS)),
  echo: nullish(z.boolean()),
  stop: nullish(z.union([z.string().min(1), z.array(z.string().min(1)).max(MOST_STOPS)])),
  seed: nullish(z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER / 2)),
  stream: nullish(z.boolean()),
  user: nullish(z.string()),
  best_of: nullish(z.number().int()),
  frequency_penalty: only(0), presence_penalty: only(0),
  suffix: nullish(z.literal('')), logit_bias: nullish(z.strictObject({})),
  stream_options: nullish(z.strictObject({ include_usage: nullish(z.boolean()) })),
});

/** Checks the JSON of a request to /v1/completions. @throws ApiError (400) naming the field, what was found and what was expected. */
export function parseCompletionRequest(json: unknown): { readonly model: string; readonly request: CompletionRequest } {
  const parsed = schema.safeParse(json);
  if (!parsed.success) {
    // An unknown field first: it may be a missing one, misspelt.
    const { issues } = parsed.error;
    throw explain((issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0]) as z.core.$ZodIssue);
  }
  const fields = parsed.data;
  const n = fields.n ?? 1;
  const prompts = promptsOf(fields.prompt);
  if (fields.best_of != null && fields.best_of !== n) throw new ApiError(400, `best_of is ${fields.best_of}: only the value of n (${n}) is supported`, { param: 'best_of' });
  if (prompts.length * n > MOST_CHOICES) throw new ApiError(400, `${prompts.length} prompts with n = ${n} ask for ${prompts.length * n} choices; at most ${MOST_CHOICES} go into one request`, { param: 'n' });
  const stream = fields.stream ?? false;
  if (stream && fields.echo === true && fields.logprobs != null) throw new ApiError(400, 'echo with logprobs cannot be streamed: leave out stream', { param: 'stream' });
  return {
    model: fields.model,
    request: {
      prompts, n, stream, hasStreamUsage: fields.stream_options?.include_usage ?? false, maxTokens: fields.max_tokens ?? 16, temperature: fields.temperature ?? 1, topP: fields.top_p ?? null,
      topK: fields.top_k == null || fields.top_k <= 0 ? null : fields.top_k, repetitionPenalty: fields.repetition_penalty ?? 1,
      logprobs: fields.logprobs ?? null, echo: fields.echo ?? false, stop: fields.stop == null ? [] : [fields.stop].flat(), seed: fields.seed ?? null,
    },
  };
}

/** One text, several, one list of ids, or several. */
function promptsOf(prompt: z.infer<typeof schema>['prompt']): CompletionRequest['prompts'] {
  if (typeof prompt === 'string') return [prompt];
  return typeof prompt[0] === 'number' ? [prompt as number[]] : (prompt as readonly (string | readonly number[])[]);
}

function explain(issue: z.core.$ZodIssue): ApiError {
  if (issue.code === 'unrecognized_keys' && issue.path.length === 0) {
    const [key = ''] = issue.keys;
    return new ApiError(400, `unknown field "${key}"; the nearest known one is "${nearestOf(key, Object.keys(schema.shape)) ?? ''}"`, { param: key });
  }
  const param = issue.path.length === 0 ? null : issue.path.join('.');
  if (issue.code === 'invalid_union') return new ApiError(400, `${param ?? 'the request'}: ${EXPECTED[String(issue.path[0])] ?? 'has the wrong type'}`, { param });
  return new ApiError(400, `${param ?? 'the request'}: ${issue.message}`, { param });
}

const EXPECTED: Readonly<Record<string, string>> = {
  prompt: 'expected a text, a list of texts, a list of token ids, or a list of lists of token ids, none of them empty',
  stop: `expected a text or a list of at most ${MOST_STOPS} texts, none of them empty`,
};
