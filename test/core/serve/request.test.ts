import { expect } from 'chai';

import { ApiError } from '../../../src/core/serve/api-error.js';
import { parseCompletionRequest } from '../../../src/core/serve/request.js';

const refusal = (json: unknown): ApiError => {
  try {
    parseCompletionRequest(json);
  } catch (error) {
    expect(error).to.be.instanceOf(ApiError);
    return error as ApiError;
  }
  throw new Error('the request was accepted');
};

describe('request to /v1/completions', () => {
  it('defaults are those of the interface', () => {
    expect(parseCompletionRequest({ model: 'm', prompt: 'a' })).to.deep.equal({
      model: 'm',
      request: {
        prompts: ['a'], maxTokens: 16, n: 1, temperature: 1, topP: null, topK: null, repetitionPenalty: 1, logprobs: null, echo: false, stop: [], seed: null, stream: false,
        hasStreamUsage: false,
      },
    });
  });

  it('a prompt is a text, texts, ids, or lists of ids', () => {
    const promptsOf = (prompt: unknown): unknown => parseCompletionRequest({ model: 'm', prompt }).request.prompts;
    expect(promptsOf(['a', 'b'])).to.deep.equal(['a', 'b']);
    expect(promptsOf([1, 2])).to.deep.equal([[1, 2]]);
    expect(promptsOf([[1, 2], [3]])).to.deep.equal([[1, 2], [3]]);
  });

  it('what lm-evaluation-harness sends for log-likelihoods', () => {
    const { request } = parseCompletionRequest({ model: 'm', prompt: [[5, 6]], temperature: 0, max_tokens: 1, logprobs: 1, seed: 1234, echo: true });
    expect(request).to.include({ temperature: 0, maxTokens: 1, logprobs: 1, seed: 1234, echo: true });
  });

  const wrong: ReadonlyArray<readonly [string, unknown, RegExp, string | null]> = [
    ['a misspelt field, before the missing one', { model: 'm', promt: 'a' }, /unknown field "promt"; the nearest known one is "prompt"/, 'promt'],
    ['no prompt', { model: 'm' }, /^prompt: expected a text/, 'prompt'],
    ['an empty list', { model: 'm', prompt: [] }, /^prompt: expected a text/, 'prompt'],
    ['texts and ids mixed', { model: 'm', prompt: ['a', 1] }, /^prompt: expected a text/, 'prompt'],
    ['a negative number of tokens', { model: 'm', prompt: 'a', max_tokens: -1 }, /^max_tokens: /, 'max_tokens'],
    ['an empty stop', { model: 'm', prompt: 'a', stop: '' }, /^stop: /, 'stop'],
    ['too many log-probabilities', { model: 'm', prompt: 'a', logprobs: 21 }, /^logprobs: /, 'logprobs'],
    ['a penalty that is not supported', { model: 'm', prompt: 'a', presence_penalty: 0.5 }, /^presence_penalty: /, 'presence_penalty'],
    ['best_of above n', { model: 'm', prompt: 'a', best_of: 3 }, /best_of is 3: only the value of n \(1\)/, 'best_of'],
    ['too many choices', { model: 'm', prompt: Array.from({ length: 65 }, () => 'a'), n: 2 }, /ask for 130 choices; at most 128/, 'n'],
    ['an echo with log-probabilities as a stream', { model: 'm', prompt: 'a', echo: true, logprobs: 1, stream: true }, /cannot be streamed/, 'stream'],
    ['no object', 'text', /^the request: /, null],
  ];
  for (const [title, json, message, param] of wrong) {
    it(`refused with 400: ${title}`, () => {
      const error = refusal(json);
      expect(error.status).to.equal(400);
      expect(error.message).to.match(message);
      expect(error.toJson()).to.deep.equal({ error: { message: error.message, type: 'invalid_request_error', param, code: null } });
    });
  }
});
