import type { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers';
import type { TokenIds } from '../types.js';
import type { DecodeStream } from './decode-stream.js';
import { streamText } from './decode-stream.js';

/** Text to ids and back, without the tokens a tokenizer adds by itself. */
export interface Codec {
  encode(text: string): number[];
  /** @param skipped ids that give no text. */
  decode(ids: TokenIds, skipped: ReadonlySet<number>): string;
  decodeStream(skipped: ReadonlySet<number>): DecodeStream;
}

/** A codec for every kind of tokenizer the library knows; slower than the one for byte-level tokenizers. */
export function createLibraryCodec(library: LibraryTokenizer): Codec {
  const decode = (ids: TokenIds, skipped: ReadonlySet<number>): string => {
    const kept = Array.from(ids).filter((id) => !skipped.has(id) && library.id_to_token(id) !== undefined);
    return kept.length === 0 ? '' : library.decode(kept, { skip_special_tokens: false, clean_up_tokenization_spaces: false });
  };
  return {
    encode: (text) => library.encode(text, { add_special_tokens: false }).ids,
    decode,
    decodeStream: (skipped) => streamText((ids) => decode(ids, skipped)),
  };
}
