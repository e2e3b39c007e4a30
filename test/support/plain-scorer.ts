/**
 * The rules of the evaluation tasks written down a second time, in the plainest way and from the rules alone: nothing of src/core/eval is used, no
 * batches, no forks, no windows; every token is predicted by a forward pass of its own.
 */
import type { LanguageModel } from '../../src/core/types.js';

/** What is needed of a tokenizer. */
export interface PlainTokenizer {
  readonly bosId: number | null;
  readonly eosId: number | null;
  encode(text: string, options: { readonly addSpecialTokens: boolean }): readonly number[];
}

export interface PlainScore {
  readonly logLikelihood: number;
  readonly isGreedy: boolean;
}

/** Log-probabilities of what follows `before`. */
async function logProbabilities(model: LanguageModel, before: readonly number[]): Promise<readonly number[]> {
  const [result] = await model.forward([before]);
  const row = [...result!.logits.slice((before.length - 1) * model.shape.vocabSize)];
  const total = row.map((logit) => Math.exp(logit)).reduce((a, b) => a + b, 0);
  return row.map((logit) => logit - Math.log(total));
}

async function scoreToken(model: LanguageModel, before: readonly number[], token: number): Promise<PlainScore> {
  const row = await logProbabilities(model, before);
  return { logLikelihood: row[token]!, isGreedy: row.findIndex((value) => value === Math.max(...row)) === token };
}

async function scoreTokens(model: LanguageModel, predictions: readonly { readonly before: readonly number[]; readonly token: number }[]): Promise<PlainScore> {
  let [logLikelihood, isGreedy] = [0, true];
  for (const { before, token } of predictions) {
    const score = await scoreToken(model, before, token);
    logLikelihood += score.logLikelihood;
    isGreedy = isGreedy && score.isGreedy;
  }
  return { logLikelihood, isGreedy };
}

/** By default, with the special tokens of the tokenizer's own, unless the text begins with one; `</s>` is what the tests' tokenizer has. */
function encode(tokenizer: PlainTokenizer, text: string): readonly number[] {
  return tokenizer.encode(text, { addSpecialTokens: !text.startsWith('</s>') });
}

const PYTHON_SPACES = '\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000';

/** Rule 1: log-likelihood of a continuation after a context; a model sees at most `longest` tokens before a token, the nearest ones. */
export async function plainRequest(model: LanguageModel, tokenizer: PlainTokenizer, request: { readonly context: string; readonly continuation: string; readonly longest: number }): Promise<PlainScore> {
  let { context, continuation } = request;
  const prefix = (tokenizer.bosId ?? tokenizer.eosId)!;
  let [before, tokens]: [readonly number[], readonly number[]] = [[prefix], []];
  if (context === '') {
    tokens = tokenizer.encode(continuation, { addSpecialTokens: false });
  } else {
    while (context !== '' && PYTHON_SPACES.includes(context.at(-1)!)) {
      continuation = context.at(-1)! + continuation;
      context = context.slice(0, -1);
    }
    before = encode(tokenizer, context);
    tokens = encode(tokenizer, context + continuation).slice(before.length);
  }
  // The whole input of a request is the last `longest` tokens but for the final one, whichever token is predicted.
  const all = [...before, ...tokens];
  const start = Math.max(0, all.length - 1 - request.longest);
  return scoreTokens(model, tokens.map((token, i) => ({ before: all.slice(start, before.length + i), token })));
}

/** Rule 3: log-likelihood of a whole text. Token i is in window ⌊i / longest⌋; the first begins with the prefix, the last is filled from the left. */
export async function plainRolling(model: LanguageModel, tokenizer: PlainTokenizer, { text, longest }: { readonly text: string; readonly longest: number }): Promise<PlainScore> {
  const tokens = encode(tokenizer, text);
  const withPrefix = [(tokenizer.bosId ?? tokenizer.eosId)!, ...tokens];
  return scoreTokens(model, tokens.map((token, i) => {
    const windowEnd = Math.min((Math.floor(i / longest) + 1) * longest, tokens.length);
    return { before: withPrefix.slice(Math.max(0, windowEnd - longest), i + 1), token };
  }));
}

/** Rule 2: index of the largest log-likelihood per length, the first of equals. */
export function plainArgmax(scores: readonly PlainScore[], lengths: readonly number[]): number {
  let best = 0;
  scores.forEach((score, i) => { if (score.logLikelihood / lengths[i]! > scores[best]!.logLikelihood / lengths[best]!) best = i; });
  return best;
}

/** Unicode code points. */
export const plainLength = (text: string): number => Array.from(text).length;

/** Words between runs of what Python takes for white space, empty ones at the edges included. */
export function plainWords(text: string): number {
  let [words, isInSpace] = [1, false];
  for (const character of text) {
    const isSpace = PYTHON_SPACES.includes(character);
    if (isSpace && !isInSpace) words += 1;
    isInSpace = isSpace;
  }
  return words;
}
