import { FormatError, UsageError } from '../../errors.js';
import { pythonRstrip } from './python-text.js';
import type { TaskItem, TextRequest } from './items.js';

/** What requests need of a tokenizer. */
export interface RequestTokenizer {
  readonly bosId: number | null;
  readonly eosId: number | null;
  encode(text: string, options: { readonly addSpecialTokens: boolean }): readonly number[];
  decode(ids: readonly number[], options: { readonly skipSpecialTokens: boolean }): string;
}

/** One model input; its last `targets.length` positions predict `targets`. */
export interface TokenWindow {
  readonly input: readonly number[];
  readonly targets: readonly number[];
}

/** An item's requests as tokens. */
export interface TokenItem {
  /** Per request: one window, or several where the continuation is longer than the context. */ readonly requests: readonly (readonly TokenWindow[])[];
  /** Some context lost its left end. */ readonly isTruncated: boolean;
  /** Some continuation did not fit the model's context and was scored in windows. */ readonly isOverlong: boolean;
}

/** Turns text into tokens by lm-evaluation-harness's rules. */
export interface RequestEncoder {
  /** A string's tokens as the tokenizer gives them by default, so with the special tokens it adds, unless the text begins with one already. */
  encode(text: string): readonly number[];
  /** Context and continuation; an empty context becomes the prefix token. */
  encodePair(request: TextRequest): { readonly context: readonly number[]; readonly continuation: readonly number[] };
  /** What stands before a text that has nothing before it: BOS, else EOS. @throws UsageError where the tokenizer has neither. */
  prefixId(): number;
}

export function requestEncoder(tokenizer: RequestTokenizer): RequestEncoder {
  const id = tokenizer.bosId ?? tokenizer.eosId;
  const prefixText = id === null ? '' : tokenizer.decode([id], { skipSpecialTokens: false });
  const prefixId = (): number => {
    if (id !== null) return id;
    throw new UsageError('the tokenizer names neither a BOS nor an EOS token, so a text with nothing before it cannot be scored', {
      suggestions: ['Name bos_token or eos_token in tokenizer_config.json of the model folder'],
    });
  };
  const encode = (text: string): readonly number[] => tokenizer.encode(text, { addSpecialTokens: prefixText === '' || !text.startsWith(prefixText) });
  let last: { readonly text: string; readonly ids: readonly number[] } = { text: '', ids: [] };
  // The choices of an item follow each other with one context.
  const encodeContext = (text: string): readonly number[] => (last = last.text === text ? last : { text, ids: encode(text) }).ids;
  return {
    encode, prefixId,
    encodePair: ({ context, continuation }) => {
      if (context === '') {
        const ids = tokenizer.encode(continuation, { addSpecialTokens: false });
        return ids[0] === prefixId() ? { context: ids.slice(0, 1), continuation: ids.slice(1) } : { context: [prefixId()], continuation: ids };
      }
      // Trailing white space moves to the continuation by being encoded with it.
      const before = encodeContext(pythonRstrip(context));
      const whole = encode(context + continuation);
      // Nothing but white space, and no token of the tokenizer's own: the harness gives up here, we put the prefix token.
      return before.length === 0 ? { context: [prefixId()], continuation: whole } : { context: before, continuation: whole.slice(before.length) };
    },
  };
}

/**
 * Windows over a text whose every token is predicted: the first `maxLength` tokens from the prefix and each other; then `maxLength` more at a time with one
 * token of context; the last, shorter window is filled from the left, so that it sees more of what came before.
 */
export function rollingWindows(tokens: readonly number[], prefixId: number, maxLength: number): readonly TokenWindow[] {
  const windows: TokenWindow[] = [];
  for (let done = 0; done < tokens.length;) {
    const end = Math.min(done + maxLength, tokens.length);
    const input = done === 0 ? [prefixId, ...tokens.slice(0, end - 1)] : tokens.slice(end - maxLength - 1, end - 1);
    windows.push({ input, targets: tokens.slice(done, end) });
    done = end;
  }
  return windows;
}

/** An item's requests as windows of at most `maxLength` tokens. @throws FormatError when a continuation adds no token to its context. */
export function tokenizeItem(item: TaskItem, encoder: RequestEncoder, options: { readonly isRolling: boolean; readonly maxLength: number }): TokenItem {
  const { isRolling, maxLength } = options;
  if (isRolling) {
    const requests = item.requests.map(({ continuation }) => rollingWindows(encoder.encode(continuation), encoder.prefixId(), maxLength));
    return { requests, isTruncated: false, isOverlong: false };
  }
  let [isTruncated, isOverlong] = [false, false];
  const requests = item.requests.map((request, i) => {
    const { context, continuation } = encoder.encodePair(request);
    if (continuation.length === 0) throw new FormatError(`${item.place}: continuation ${i + 1} ${JSON.stringify(request.continuation)} adds no token to its context`);
    if (continuation.length > maxLength) {
      // The harness refuses such a request; here the last token of the context and rolling windows give it a likelihood all the same.
      isOverlong = true;
      return rollingWindows(continuation, context.at(-1)!, maxLength);
    }
    const all = [...context, ...continuation];
    isTruncated ||= all.length > maxLength + 1;
    return [{ input: all.slice(-(maxLength + 1), -1), targets: continuation }];
  });
  return { requests, isTruncated, isOverlong };
}
