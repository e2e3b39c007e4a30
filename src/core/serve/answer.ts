import { randomInt, randomUUID } from 'node:crypto';

import type { ChoiceEnd, ChoicePart, CompletionModel, ReadPrompt } from './complete.js';
import { continuePrompt, openPrompt, readPrompt } from './complete.js';
import type { AnswerIdentity, ChoiceDocument, UsageDocument } from './documents.js';
import { completionDocument, logprobsDocument, usageDocument } from './documents.js';
import type { CompletionRequest } from './request.js';

/** A model with the name that requests use for it. */
export interface ServedModel extends CompletionModel {
  readonly name: string;
}

/** A request on its way. */
export interface Asked {
  readonly request: CompletionRequest;
  /** Raised when nobody waits for the answer any more. */ readonly signal: AbortSignal;
  /** Hears parts of a stream as they come; null where the answer goes out as a whole. */ readonly onPart: ((document: object) => void) | null;
}

/** An answer as a whole, and what it took. */
export interface Answer {
  readonly document: object;
  readonly usage: UsageDocument;
}

/** Seeds of requests that name none. */
const SEEDS = 2 ** 47;

/** Answers a request to /v1/completions: prompts one after the other, each read once for all its continuations. @throws ApiError; the signal's reason. */
export async function answer(served: ServedModel, { request, signal, onPart }: Asked): Promise<Answer> {
  const identity: AnswerIdentity = { id: `cmpl-${randomUUID()}`, created: Math.floor(Date.now() / 1000), model: served.name };
  const prompts = request.prompts.map((prompt) => readPrompt(served, prompt)); // all are checked before the first is computed
  const seed = request.seed ?? randomInt(SEEDS);
  const choices: ChoiceDocument[] = [];
  let newTokens = 0;
  for (const prompt of prompts) {
    const read = await openPrompt(served, prompt, { request, signal });
    try {
      for (let k = 0; k < request.n; k++) {
        const index = choices.length;
        const writer = choiceWriter({ identity, index, hasLogprobs: request.logprobs !== null, onPart });
        newTokens += await writeChoice(served, read, { request, seed: seed + index, signal, writer });
        choices.push(writer.whole());
      }
    } finally {
      read.session?.dispose();
    }
  }
  const usage = usageDocument(prompts.reduce((sum, { ids }) => sum + ids.length, 0), newTokens);
  return { document: completionDocument(identity, choices, usage), usage };
}

interface Writing {
  readonly request: CompletionRequest;
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly writer: ChoiceWriter;
}

/** @returns how many tokens were sampled. */
async function writeChoice(served: ServedModel, read: ReadPrompt, { request, seed, signal, writer }: Writing): Promise<number> {
  if (read.echo !== null) writer.add(read.echo);
  const parts = continuePrompt(served, read, { request, seed, signal });
  for (;;) {
    const { value, done } = await parts.next();
    if (done === true) {
      writer.end(value);
      return value.tokens;
    }
    writer.add(value);
  }
}

interface ChoiceWriter {
  add(part: ChoicePart): void;
  end(end: ChoiceEnd): void;
  whole(): ChoiceDocument;
}

/** Collects a choice, and passes its parts on where the answer is streamed. */
function choiceWriter({ identity, index, hasLogprobs, onPart }: { identity: AnswerIdentity; index: number; hasLogprobs: boolean; onPart: Asked['onPart'] }): ChoiceWriter {
  const parts: ChoicePart[] = [];
  let length = 0;
  let finishReason: ChoiceDocument['finish_reason'] = null;
  const send = (part: ChoicePart, reason: ChoiceDocument['finish_reason']): void => {
    const logprobs = hasLogprobs ? logprobsDocument(part.scores, length) : null;
    onPart?.(completionDocument(identity, [{ index, text: part.text, logprobs, finish_reason: reason }], null));
  };
  return {
    add: (part) => {
      send(part, null);
      parts.push(part);
      length += part.text.length;
    },
    end: (end) => {
      ({ finishReason } = end);
      send({ text: '', scores: [] }, finishReason);
    },
    whole: () => ({
      index, text: parts.map(({ text }) => text).join(''), logprobs: hasLogprobs ? logprobsDocument(parts.flatMap(({ scores }) => scores), 0) : null, finish_reason: finishReason,
    }),
  };
}
