/** A byte-level tokenizer as `tokenizer.json` describes it, with the parts this project writes. */
export interface TokenizerJson {
  readonly [key: string]: unknown;
  readonly model: { readonly [key: string]: unknown; readonly type: 'BPE'; readonly vocab: Readonly<Record<string, number>>; readonly merges: readonly string[] };
}

/** How a tokenizer treats special tokens. */
export interface SpecialTokens {
  /** Tokens never split, with their ids in the vocabulary. */ readonly special: readonly string[];
  /** Put before every text; null for none. */ readonly prefix: string | null;
}

/**
 * A `tokenizer.json` for a GPT-2 byte-level vocabulary: GPT-2's own split, no space added in front.
 * @param merges pairs `left right`, most urgent first.
 */
export function byteLevelTokenizerJson(vocab: Readonly<Record<string, number>>, merges: readonly string[], tokens: SpecialTokens): TokenizerJson {
  const added = tokens.special.map((content) => ({
    id: vocab[content], content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true,
  }));
  const prefixId = tokens.prefix === null ? null : vocab[tokens.prefix];
  const sequence = { Sequence: { id: 'A', type_id: 0 } };
  return {
    version: '1.0', truncation: null, padding: null,
    added_tokens: added.sort((a, b) => (a.id ?? 0) - (b.id ?? 0)),
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: prefixId == null ? { type: 'ByteLevel', add_prefix_space: true, trim_offsets: false, use_regex: true } : {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: tokens.prefix, type_id: 0 } }, sequence],
      pair: [{ SpecialToken: { id: tokens.prefix, type_id: 0 } }, sequence, { Sequence: { id: 'B', type_id: 1 } }],
      special_tokens: { [tokens.prefix as string]: { id: tokens.prefix, ids: [prefixId], tokens: [tokens.prefix] } },
    },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: '', end_of_word_suffix: '', fuse_unk: false, byte_fallback: false, vocab, merges },
  };
}
