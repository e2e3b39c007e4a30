import type { TokenIds } from '../types.js';

/** Turns ids into text as they arrive, never emitting a part of a character. */
export interface DecodeStream {
  /** Text that is complete now; may be empty. */ push(id: number): string;
  /** What is left: a character that was never completed becomes U+FFFD. */ flush(): string;
}

/** A stream over tokens whose bytes are known one by one. */
export function streamBytes(bytesOf: (id: number) => Uint8Array): DecodeStream {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  return {
    push: (id) => decoder.decode(bytesOf(id), { stream: true }),
    flush: () => decoder.decode(),
  };
}

/** Ids that are decoded together again so that a token's text may depend on the one before it. */
const CONTEXT_IDS = 4;

/**
 * A stream over a decoder that knows only whole sequences (SentencePiece and others): text is held back while it ends in U+FFFD, the mark of an
 * incomplete character; after at most four ids, the most bytes a character has, it is given out as it is.
 */
export function streamText(decode: (ids: TokenIds) => string): DecodeStream {
  let settled: number[] = [];
  let pending: number[] = [];
  const takePending = (): string => {
    const before = decode(settled);
    const text = decode([...settled, ...pending]).slice(before.length);
    settled = [...settled, ...pending].slice(-CONTEXT_IDS);
    pending = [];
    return text;
  };
  return {
    push(id) {
      pending.push(id);
      const isCut = decode([...settled, ...pending]).endsWith('\ufffd');
      return isCut && pending.length < 4 ? '' : takePending();
    },
    flush: () => (pending.length === 0 ? '' : takePending()),
  };
}
