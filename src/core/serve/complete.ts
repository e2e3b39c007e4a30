import { setImmediate as nextTurn } from 'node:timers/promises';

import { createRandom } from '../corpus/random.js';
import { penaliseRepetition, sampleToken } from '../generate/sample.js';
import { createStopFilter } from '../generate/stop-strings.js';
import type { Tokenizer } from '../tokenizer/load.js';
import type { DecodingSession, LanguageModel } from '../types.js';
import { ApiError } from './api-error.js';
import type { CompletionRequest } from './request.js';
import type { TokenScore } from './token-scores.js';
import { firstTokenScore, scoreToken } from './token-scores.js';

/** Tokens of a prompt read at a time; between two such pieces others have their turn. */
const PROMPT_PIECE = 64;

/** What answers requests. */
export interface CompletionModel {
  readonly model: LanguageModel;
  readonly tokenizer: Tokenizer;
}

/** A prompt as the model reads it and as it is given back. */
export interface Prompt {
  readonly ids: readonly number[];
  readonly text: string;
}

/** A part of a choice as soon as it is sure. */
export interface ChoicePart {
  readonly text: string;
  /** Empty unless log-probabilities are asked for. */ readonly scores: readonly TokenScore[];
}

/** How a choice ended: at a stop string or the end token, or because it was long enough or the context full. */
export interface ChoiceEnd {
  readonly finishReason: 'stop' | 'length';
  readonly tokens: number;
}

/**
 * Turns a prompt of a request into ids: a text with the tokenizer's own special tokens, ids as they are.
 * @throws ApiError 400 when nothing is left to start from, an id is outside the vocabulary, or the prompt exceeds the context.
 */
export function readPrompt({ model, tokenizer }: CompletionModel, prompt: string | readonly number[]): Prompt {
  const { contextLength, vocabSize } = model.shape;
  const encoded = typeof prompt === 'string' ? tokenizer.encode(prompt) : prompt;
  const start = tokenizer.bosId ?? tokenizer.eosId;
  const ids = encoded.length > 0 || start === null ? encoded : [start];
  if (ids.length === 0) throw new ApiError(400, 'the prompt is empty and the tokenizer has no start token', { param: 'prompt' });
  const wrong = ids.find((id) => id >= vocabSize);
  if (wrong !== undefined) throw new ApiError(400, `token id ${wrong} is outside the vocabulary of ${vocabSize}`, { param: 'prompt' });
  if (ids.length > contextLength) {
    throw new ApiError(400, `the prompt is ${ids.length} tokens long, the model's context is ${contextLength}`, { param: 'prompt', code: 'context_length_exceeded' });
  }
  return { ids, text: typeof prompt === 'string' ? prompt : tokenizer.decode(ids, { skipSpecialTokens: false }) };
}

/** The prompt's own part of each choice and the state its continuations start from. */
export interface ReadPrompt {
  readonly prompt: Prompt;
  /** What `echo` gives back; null without it. */ readonly echo: ChoicePart | null;
  /** Logits (V) for the first new token. */ readonly logits: Float32Array;
  /** Null where no more than one token follows. The caller disposes it. */ readonly session: DecodingSession | null;
}

/** Reads a prompt once for all its continuations. Other work of this thread has its turns in between. */
export async function openPrompt(served: CompletionModel, prompt: Prompt, { request, signal }: { readonly request: CompletionRequest; readonly signal: AbortSignal }): Promise<ReadPrompt> {
  const { model, tokenizer } = served;
  const { echo, logprobs, maxTokens } = request;
  const isScored = echo && logprobs !== null;
  const all = isScored ? (await model.forward([prompt.ids]))[0]!.logits : null;
  const { vocabSize } = model.shape;
  const rowOf = (i: number): Float32Array => all!.subarray(i * vocabSize, (i + 1) * vocabSize);
  const scores = isScored ? prompt.ids.map((id, i) => (i === 0 ? firstTokenScore(tokenizer, id) : scoreToken(tokenizer, rowOf(i - 1), { id, count: logprobs }))) : [];
  const echoed = echo ? { text: prompt.text, scores } : null;
  if (isScored && maxTokens <= 1) return { prompt, echo: echoed, logits: rowOf(prompt.ids.length - 1), session: null };
  const session = model.openSession();
  try {
    let logits = new Float32Array(0);
    for (let first = 0; first < prompt.ids.length; first += PROMPT_PIECE) {
      await nextTurn();
      signal.throwIfAborted();
      ({ logits } = await session.append(prompt.ids.slice(first, first + PROMPT_PIECE)) as { logits: Float32Array<ArrayBuffer> });
    }
    return { prompt, echo: echoed, logits: logits.slice(), session };
  } catch (error) {
    session.dispose();
    throw error;
  }
}

/** Which continuation of a prompt. */
export interface Continuation {
  readonly request: CompletionRequest;
  /** The same seed gives the same text. */ readonly seed: number;
  readonly signal: AbortSignal;
}

/** Writes one continuation, part by part; other work of this thread has its turn after every token. Leaves the prompt's session as it was. */
export async function* continuePrompt(served: CompletionModel, read: ReadPrompt, { request, seed, signal }: Continuation): AsyncGenerator<ChoicePart, ChoiceEnd> {
  const { tokenizer } = served;
  const stream = tokenizer.decodeStream();
  const filter = createStopFilter(request.stop);
  let pending: TokenScore[] = [];
  let tokens = 0;
  for await (const { id, score, last } of sampleTokens(served, read, { request, seed, signal })) {
    tokens++;
    const isEnd = id === tokenizer.eosId;
    if (score !== null && !isEnd) pending.push(score);
    let text = isEnd ? '' : filter.push(stream.push(id));
    if (last && !filter.isStopped) text += filter.push(stream.flush());
    if (last) text += filter.flush();
    // A stop string's own tokens are held back with its text; what was held back before it began belongs to the answer.
    const scores = filter.isStopped ? scoresOf(pending, text) : text === '' && !last ? [] : pending;
    if (text !== '' || scores.length > 0) yield { text, scores };
    if (text !== '' || last) pending = [];
    if (filter.isStopped || isEnd) return { finishReason: 'stop', tokens };
  }
  return { finishReason: 'length', tokens };
}

/** The first tokens, whose texts begin within `text`. */
function scoresOf(pending: readonly TokenScore[], text: string): TokenScore[] {
  let length = 0;
  return pending.filter(({ token }) => {
    const isWithin = length < text.length;
    length += token.length;
    return isWithin;
  });
}

async function* sampleTokens(
  { model, tokenizer }: CompletionModel, { prompt, logits: first, session: read }: ReadPrompt, { request, seed, signal }: Continuation,
): AsyncGenerator<{ readonly id: number; readonly score: TokenScore | null; readonly last: boolean }> {
  const { maxTokens, repetitionPenalty, logprobs } = request;
  const room = model.shape.contextLength - prompt.ids.length + 1;
  const count = Math.min(maxTokens, room);
  const random = createRandom(seed);
  const present = new Set(prompt.ids);
  const session = count > 1 ? read!.fork() : null;
  try {
    let logits = first;
    for (let n = 1; n <= count; n++) {
      const id = sampleToken(repetitionPenalty === 1 ? logits : penaliseRepetition(logits, present, repetitionPenalty), request, random.next());
      present.add(id);
      const last = n === count || id === tokenizer.eosId;
      yield { id, last, score: logprobs === null ? null : scoreToken(tokenizer, logits, { id, count: logprobs }) };
      if (last) return;
      await nextTurn();
      signal.throwIfAborted();
      ({ logits } = await session!.append([id]));
    }
  } finally {
    session?.dispose();
  }
}
