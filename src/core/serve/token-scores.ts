import { ShapeError } from '../errors.js';
import type { Tokenizer } from '../tokenizer/load.js';

/** A token of a text and how probable the model held it. */
export interface TokenScore {
  readonly id: number;
  /** As it stands in the text; `token_id:N` where it is no whole character, or where another one in the same list reads the same. */ readonly token: string;
  /** Natural logarithm of its probability at temperature 1; null for a first token, which nothing predicts. */ readonly logprob: number | null;
  /** The most probable tokens in its place and their log-probabilities, itself included; null for a first token. */ readonly top: Readonly<Record<string, number>> | null;
}

type Texts = Pick<Tokenizer, 'decode'>;

/** How a token reads in an answer. */
export function tokenText(tokenizer: Texts, id: number): string {
  const text = tokenizer.decode([id], { skipSpecialTokens: false });
  return text === '' || text.includes('\ufffd') ? `token_id:${id}` : text;
}

/** A token that nothing predicts: the first of a text. */
export function firstTokenScore(tokenizer: Texts, id: number): TokenScore {
  return { id, token: tokenText(tokenizer, id), logprob: null, top: null };
}

/** Scores `id` by logits (V), with the `count` most probable tokens beside it. @throws ShapeError on an id outside the vocabulary. */
export function scoreToken(tokenizer: Texts, logits: Float32Array, { id, count }: { readonly id: number; readonly count: number }): TokenScore {
  const chosen = logits[id];
  if (chosen === undefined) throw new ShapeError(`token id ${id} is outside the vocabulary of ${logits.length}`);
  const norm = logSumExp(logits);
  const token = tokenText(tokenizer, id);
  const top: Record<string, number> = { [token]: chosen - norm };
  for (const other of largest(logits, count)) {
    if (other === id) continue;
    const text = tokenText(tokenizer, other);
    top[text in top ? `token_id:${other}` : text] = (logits[other] as number) - norm;
  }
  return { id, token, logprob: chosen - norm, top };
}

/** log Σ exp(z), in float64. */
export function logSumExp(logits: Float32Array): number {
  let most = Number.NEGATIVE_INFINITY;
  for (const z of logits) if (z > most) most = z;
  let sum = 0;
  for (const z of logits) sum += Math.exp(z - most);
  return most + Math.log(sum);
}

/** Ids of the `count` largest logits, the largest first, the lowest id first on ties. */
function largest(logits: Float32Array, count: number): number[] {
  const ids: number[] = [];
  for (let id = 0; id < logits.length; id++) {
    if (ids.length === count && (count === 0 || !(logits[id]! > logits[ids[count - 1]!]!))) continue;
    let place = ids.length;
    while (place > 0 && logits[id]! > logits[ids[place - 1]!]!) place--;
    ids.splice(place, 0, id);
    if (ids.length > count) ids.pop();
  }
  return ids;
}
