import { ShapeError } from '../errors.js';
import type { ModelShape, TokenIds } from '../types.js';

/**
 * Checks a sequence, or its next tokens after `offset` others, against a model.
 * @throws ShapeError when there are none, when they exceed the context, or on an id outside the vocabulary.
 */
export function checkTokenIds(ids: TokenIds, { vocabSize, contextLength }: ModelShape, offset: number): void {
  if (ids.length === 0) throw new ShapeError('there are no tokens to run the model on');
  if (offset + ids.length > contextLength) throw new ShapeError(`${offset + ids.length} tokens are more than the model's context of ${contextLength}`);
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!;
    if (Number.isInteger(id) && id >= 0 && id < vocabSize) continue;
    throw new ShapeError(`token id ${id} at position ${i} is outside the model's vocabulary of ${vocabSize}`, {
      suggestions: ['Tokenise the text with the tokenizer of this model'],
    });
  }
}
