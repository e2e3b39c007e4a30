import { createRandom } from '../corpus/random.js';
import { Interrupted, UsageError } from '../errors.js';
import type { DecodingSession, LanguageModel, OpCounts, RunContext, StepLogits } from '../types.js';
import { checkSamplingOptions, penaliseRepetition, sampleToken } from './sample.js';
import type { SamplingOptions } from './sample.js';
import { slidingSession } from './sliding-session.js';
import { createStopFilter } from './stop-strings.js';

/** What generation needs of a tokenizer. */
export interface TextCodec {
  readonly bosId: number | null;
  readonly eosId: number | null;
  encode(text: string, options: { readonly addSpecialTokens: boolean }): readonly number[];
  /** Pieces of text as ids arrive, never a part of a character. */
  decodeStream(): { push(id: number): string; flush(): string };
}

export interface GenerateOptions extends SamplingOptions {
  readonly model: LanguageModel;
  readonly tokenizer: TextCodec;
  readonly prompt: string;
  readonly maxNewTokens: number;
  /** The text ends before the first of these. */ readonly stop: readonly string[];
  /** How many continuations of the prompt; sample n draws with the seed `seed + n`. */ readonly samples: number;
  /** A whole number from 0; the same seed gives the same text. */ readonly seed: number;
  /** Where the context is full: go on without its older half, or end. */ readonly slide: boolean;
  /** Milliseconds of a clock that only goes forward. */ readonly now?: () => number;
}

/** `stop`: a stop string; `eos`: the end token; `length`: maxNewTokens; `context`: the model's context is full. */
export type FinishReason = 'stop' | 'eos' | 'length' | 'context';

/** One finished continuation. */
export interface Generation {
  /** The continuation without the prompt, without the stop string and without the end token. */ readonly text: string;
  /** How many tokens were sampled, the end token and those of a stop string included. */ readonly tokens: number;
  readonly tokenIds: readonly number[];
  readonly promptTokens: number;
  readonly finishReason: FinishReason;
  /** Gives this continuation again as the only sample. */ readonly seed: number;
  /** Tokens after the first per second of decoding; the first, which the prompt pays for, where there is only one. */ readonly tokensPerSecond: number;
  /** Accumulates per token processed, prompt included; null for a dense model. */ readonly acsPerToken: number | null;
}

/** What the iterator gives: text as soon as it is sure, then the finished sample. */
export type GenerationEvent =
  | { readonly type: 'text'; readonly sample: number; readonly text: string }
  | { readonly type: 'end'; readonly sample: number; readonly generation: Generation };

/** The prompt as the model has read it. */
interface ReadPrompt {
  readonly ids: readonly number[];
  readonly step: StepLogits;
  readonly elapsedMs: number;
}

/** What one sample has done so far. */
interface Progress {
  readonly tokenIds: number[];
  readonly present: Set<number>;
  acs: number | null;
  processed: number;
  decodeMs: number;
}

function checkOptions({ maxNewTokens, samples, seed, ...options }: GenerateOptions): void {
  checkSamplingOptions(options);
  if (!Number.isInteger(maxNewTokens) || maxNewTokens < 1) {
    throw new UsageError(`the number of new tokens must be a whole number of at least 1, found ${maxNewTokens}`, { suggestions: ['--max-new-tokens 80'] });
  }
  if (!Number.isInteger(samples) || samples < 1) {
    throw new UsageError(`the number of samples must be a whole number of at least 1, found ${samples}`, { suggestions: ['--samples 3'] });
  }
  if (!Number.isSafeInteger(seed) || seed < 0 || !Number.isSafeInteger(seed + samples)) {
    throw new UsageError(`the seed must be a whole number from 0 to ${Number.MAX_SAFE_INTEGER}, found ${seed}`, { suggestions: ['--seed 7'] });
  }
}

/**
 * Ids of the prompt with the tokenizer's own special tokens; an empty prompt becomes the start token.
 * @throws UsageError when nothing is left to start from, or when the prompt is longer than the context.
 */
export function encodePrompt({ prompt, tokenizer, model }: Pick<GenerateOptions, 'prompt' | 'tokenizer' | 'model'>): readonly number[] {
  const encoded = tokenizer.encode(prompt, { addSpecialTokens: true });
  const start = tokenizer.bosId ?? tokenizer.eosId;
  const ids = encoded.length > 0 || start === null ? encoded : [start];
  if (ids.length === 0) throw new UsageError('the prompt is empty and the tokenizer has no start token', { suggestions: ['--prompt "Once upon a time"'] });
  const { contextLength } = model.shape;
  if (ids.length > contextLength) {
    throw new UsageError(`the prompt is ${ids.length} tokens long, the model's context is ${contextLength}`, {
      suggestions: [`Shorten the prompt to at most ${contextLength} tokens; what is generated needs room there too`],
    });
  }
  return ids;
}

function addStep(progress: Progress, counts: OpCounts | null): void {
  if (counts === null) return;
  progress.acs = counts.sites.reduce((sum, site) => sum + site.accumulates, progress.acs ?? 0);
  progress.processed += counts.tokens;
}

function finish(progress: Progress, prompt: ReadPrompt): Pick<Generation, 'tokens' | 'tokenIds' | 'promptTokens' | 'tokensPerSecond' | 'acsPerToken'> {
  const tokens = progress.tokenIds.length;
  const [decoded, elapsedMs] = tokens > 1 ? [tokens - 1, progress.decodeMs] : [tokens, prompt.elapsedMs];
  return {
    tokens, tokenIds: progress.tokenIds, promptTokens: prompt.ids.length,
    tokensPerSecond: elapsedMs > 0 ? (1000 * decoded) / elapsedMs : 0,
    acsPerToken: progress.acs === null ? null : progress.acs / progress.processed,
  };
}

/** Samples ids until something ends them; gives each id with the reason it is the last one, or null. */
async function* decode(
  session: DecodingSession, start: { readonly prompt: ReadPrompt; readonly progress: Progress; readonly seed: number; readonly options: GenerateOptions }, ctx: RunContext,
): AsyncGenerator<{ readonly id: number; readonly last: FinishReason | null }> {
  const { prompt, progress, seed, options } = start;
  const { model, tokenizer, repetitionPenalty, maxNewTokens, slide, now = () => performance.now() } = options;
  const random = createRandom(seed);
  let step = prompt.step;
  for (;;) {
    const beginMs = now();
    const logits = repetitionPenalty === 1 ? step.logits : penaliseRepetition(step.logits, progress.present, repetitionPenalty);
    const id = sampleToken(logits, options, random.next());
    progress.tokenIds.push(id);
    progress.present.add(id);
    const isFull = !slide && session.length >= model.shape.contextLength;
    const last = id === tokenizer.eosId ? 'eos' : progress.tokenIds.length >= maxNewTokens ? 'length' : isFull ? 'context' : null;
    progress.decodeMs += now() - beginMs;
    yield { id, last };
    if (last !== null) return;
    if (ctx.signal.aborted) throw new Interrupted(`generation was interrupted after ${progress.tokenIds.length} tokens`);
    const appendMs = now();
    step = await session.append([id]);
    progress.decodeMs += now() - appendMs;
    addStep(progress, step.counts);
  }
}

async function* generateSample(
  session: DecodingSession, { sample, prompt, options }: { readonly sample: number; readonly prompt: ReadPrompt; readonly options: GenerateOptions }, ctx: RunContext,
): AsyncGenerator<GenerationEvent> {
  const seed = options.seed + sample;
  const progress: Progress = { tokenIds: [], present: new Set(prompt.ids), acs: null, processed: 0, decodeMs: 0 };
  addStep(progress, prompt.step.counts);
  const stream = options.tokenizer.decodeStream();
  const filter = createStopFilter(options.stop);
  let text = '';
  let finishReason: FinishReason = 'length';
  for await (const { id, last } of decode(session, { prompt, progress, seed, options }, ctx)) {
    let piece = last === 'eos' ? '' : filter.push(stream.push(id));
    if (last !== null && !filter.isStopped) piece += filter.push(stream.flush());
    if (last !== null) piece += filter.flush();
    finishReason = filter.isStopped ? 'stop' : (last ?? finishReason);
    text += piece;
    if (piece !== '') yield { type: 'text', sample, text: piece };
    if (filter.isStopped) break;
  }
  yield { type: 'end', sample, generation: { text, finishReason, seed, ...finish(progress, prompt) } };
}

/**
 * Continues a prompt token by token over a decoding session, whose logits are those of a full forward. The prompt is read
 * once; each sample goes on from a fork of that state, one after the other. Time a consumer spends between events is not
 * counted as decoding. Sessions are disposed at the end, on an error and when the consumer stops early; the model is not.
 * @throws UsageError on bad options or a prompt that does not fit; NumericError on broken logits; Interrupted on abort.
 */
export async function* generate(options: GenerateOptions, ctx: RunContext): AsyncGenerator<GenerationEvent> {
  checkOptions(options);
  createStopFilter(options.stop);
  const { model, samples, now = () => performance.now() } = options;
  const ids = encodePrompt(options);
  if (ctx.signal.aborted) throw new Interrupted('generation was interrupted before it began');
  const session = options.slide ? slidingSession(model) : model.openSession();
  try {
    const beginMs = now();
    const step = await session.append(ids);
    // A session may reuse its logits' memory at the next step, and every sample starts from these.
    const prompt: ReadPrompt = { ids, step: { ...step, logits: step.logits.slice() }, elapsedMs: now() - beginMs };
    for (let sample = 0; sample < samples; sample++) {
      const own = samples === 1 ? session : session.fork();
      try {
        yield* generateSample(own, { sample, prompt, options }, ctx);
      } finally {
        if (own !== session) own.dispose();
      }
    }
  } finally {
    session.dispose();
  }
}
