import type { TokenScore } from './token-scores.js';

/** Log-probabilities of a choice in the layout of the OpenAI completions interface. */
export interface LogprobsDocument {
  readonly tokens: readonly string[];
  readonly token_logprobs: readonly (number | null)[];
  readonly top_logprobs: ReadonlyArray<Readonly<Record<string, number>> | null>;
  /** Where each token begins in the choice's text, UTF-16 units. */ readonly text_offset: readonly number[];
}

export interface ChoiceDocument {
  readonly index: number;
  readonly text: string;
  readonly logprobs: LogprobsDocument | null;
  readonly finish_reason: 'stop' | 'length' | null;
}

export interface UsageDocument {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
}

/** What every part of an answer says of it. */
export interface AnswerIdentity {
  readonly id: string;
  readonly created: number;
  readonly model: string;
}

/** @param from where in the choice's text the first of these tokens begins. */
export function logprobsDocument(scores: readonly TokenScore[], from: number): LogprobsDocument {
  const offsets: number[] = [];
  scores.reduce((at, { token }) => {
    offsets.push(at);
    return at + token.length;
  }, from);
  return {
    tokens: scores.map(({ token }) => token), token_logprobs: scores.map(({ logprob }) => logprob), top_logprobs: scores.map(({ top }) => top), text_offset: offsets,
  };
}

export function usageDocument(promptTokens: number, completionTokens: number): UsageDocument {
  return { prompt_tokens: promptTokens, completion_tokens: completionTokens, total_tokens: promptTokens + completionTokens };
}

export function completionDocument({ id, created, model }: AnswerIdentity, choices: readonly ChoiceDocument[], usage: UsageDocument | null): object {
  return { id, object: 'text_completion', created, model, choices, ...(usage === null ? {} : { usage }) };
}
