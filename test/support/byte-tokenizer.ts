import type { Tokenizer } from '../../src/core/tokenizer/load.js';

/** Id of the end token of {@link byteTokenizer}. */
export const BYTE_EOS = 256;

/** One token a byte and an end token 256; no start token. */
export const byteTokenizer: Tokenizer = {
  vocabSize: 257, bosId: null, eosId: BYTE_EOS, hash: 'bytes',
  encode: (text) => [...Buffer.from(text)],
  decode: (ids, { skipSpecialTokens } = { skipSpecialTokens: true }) =>
    [...ids].reduce<{ text: string; bytes: number[] }>((sofar, id, i) => {
      const bytes = id < BYTE_EOS ? [...sofar.bytes, id] : sofar.bytes;
      const isBreak = id === BYTE_EOS || i === ids.length - 1;
      const flushed = isBreak ? new TextDecoder().decode(Uint8Array.from(bytes)) : '';
      return { text: sofar.text + flushed + (id === BYTE_EOS && !skipSpecialTokens ? '</s>' : ''), bytes: isBreak ? [] : bytes };
    }, { text: '', bytes: [] }).text,
  decodeStream() {
    const decoder = new TextDecoder();
    return { push: (id) => (id < BYTE_EOS ? decoder.decode(Uint8Array.of(id), { stream: true }) : ''), flush: () => decoder.decode() };
  },
};
