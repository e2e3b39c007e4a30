import { createHash } from 'node:crypto';
import { ConfigError, FormatError, ShapeError } from '../errors.js';
import { joinStories, writeStories } from './stories.js';
import { readCorpusText, splitText } from './text.js';

/** Where the text comes from and how it is split; the config's `corpus` group fits. */
export interface CorpusOptions {
  readonly kind: 'text' | 'stories';
  /** Text file to train on; needed when kind is text. */ readonly train: string | null;
  /** Text file to validate on; null = the last part of `train`. */ readonly valid: string | null;
  /** Share held out when `valid` is null: of the characters of `train`, or of the stories. */ readonly validFraction: number;
  /** Reads at most this much of the start of `train`; null = all of it. */ readonly maxBytes: number | null;
  readonly stories: { readonly seed: number; readonly count: number };
}

/** A corpus before tokenisation; train a tokenizer on `train` only. */
export interface CorpusText {
  readonly train: string;
  readonly valid: string;
  /** Of the training text's UTF-8 bytes, a byte 0xff (which UTF-8 never has) and the validation text's. */ readonly sha256: string;
  /** −ln p of each part under the story grammar; null for a text, whose distribution nobody knows. */
  readonly trueNats: { readonly train: number; readonly valid: number } | null;
}

/** What the corpus needs of a tokenizer. */
export interface CorpusTokenizer {
  readonly vocabSize: number;
  encode(text: string, options?: { addSpecialTokens: boolean }): readonly number[];
}

/** A corpus in its two parts, as one stream of token ids each. */
export interface CorpusSplit {
  readonly train: Int32Array;
  readonly valid: Int32Array;
}

/** A tokenised corpus and what is known of it. Sizes are of UTF-8 bytes; the ratios are over both parts. */
export interface Corpus extends CorpusSplit {
  readonly sha256: string;
  readonly bytesTrain: number;
  readonly bytesValid: number;
  readonly charactersPerToken: number;
  readonly bytesPerToken: number;
  /** The floor of the validation loss, nats per token (see `trueNllPerToken`); null for a text. */ readonly trueNllPerToken: number | null;
}

/** Stories, the last ⌈count · validFraction⌉ of which validate. @throws ConfigError when a part would be empty. */
function readStories(options: CorpusOptions): Omit<CorpusText, 'sha256'> {
  const { stories: { count, seed }, validFraction } = options;
  const held = Math.ceil(count * validFraction);
  if (!(held > 0 && held < count)) throw new ConfigError(`${count} stories cannot be split with corpus.validFraction ${validFraction}: one part would be empty`, { suggestions: ['raise corpus.stories.count'] });
  const { stories } = writeStories({ seed, count });
  const [train, valid] = [joinStories(stories.slice(0, count - held)), joinStories(stories.slice(count - held))];
  return { train: train.text, valid: valid.text, trueNats: { train: train.choicesNats, valid: valid.choicesNats } };
}

async function readTexts(options: CorpusOptions): Promise<Omit<CorpusText, 'sha256'>> {
  if (options.train === null) throw new ConfigError('corpus.kind is text, but corpus.train names no file', { suggestions: ['--set corpus.train=FILE', '--set corpus.kind=stories'] });
  const train = await readCorpusText(options.train, options.maxBytes);
  const parts = options.valid === null ? splitText(train, options.validFraction) : { train, valid: await readCorpusText(options.valid) };
  return { ...parts, trueNats: null };
}

/** Reads or writes a corpus and splits it. @throws FormatError or ConfigError as `readCorpusText` and `splitText`. */
export async function readCorpus(options: CorpusOptions): Promise<CorpusText> {
  const parts = options.kind === 'stories' ? readStories(options) : await readTexts(options);
  return { ...parts, sha256: createHash('sha256').update(parts.train).update(Uint8Array.of(0xff)).update(parts.valid).digest('hex') };
}

/** Encodes a text without special tokens. @returns (tokens) ids. @throws ShapeError when the tokenizer gives an id outside its own vocabulary. */
export function encodeText(text: string, tokenizer: CorpusTokenizer): Int32Array {
  const ids = Int32Array.from(tokenizer.encode(text, { addSpecialTokens: false }));
  const foreign = ids.find((id) => id < 0 || id >= tokenizer.vocabSize);
  if (foreign !== undefined) throw new ShapeError(`the tokenizer gave token ${foreign}, outside its vocabulary of ${tokenizer.vocabSize}`);
  return ids;
}

/** Tokenises both parts of a corpus. @throws FormatError when a part has no tokens, ShapeError as `encodeText`. */
export function tokenizeCorpus(corpus: CorpusText, tokenizer: CorpusTokenizer): Corpus {
  const [train, valid] = [encodeText(corpus.train, tokenizer), encodeText(corpus.valid, tokenizer)];
  if (train.length === 0 || valid.length === 0) throw new FormatError(`the ${train.length === 0 ? 'training' : 'validation'} part of the corpus has no tokens under this tokenizer`);
  const [bytesTrain, bytesValid] = [Buffer.byteLength(corpus.train), Buffer.byteLength(corpus.valid)];
  const tokens = train.length + valid.length;
  return {
    train, valid, bytesTrain, bytesValid, sha256: corpus.sha256,
    charactersPerToken: (corpus.train.length + corpus.valid.length) / tokens,
    bytesPerToken: (bytesTrain + bytesValid) / tokens,
    trueNllPerToken: corpus.trueNats === null ? null : corpus.trueNats.valid / valid.length,
  };
}

/** Reads, splits and tokenises a corpus. @throws FormatError, ConfigError or ShapeError as `readCorpus` and `tokenizeCorpus`. */
export async function loadCorpus(options: CorpusOptions, tokenizer: CorpusTokenizer): Promise<Corpus> {
  return tokenizeCorpus(await readCorpus(options), tokenizer);
}

/** Checks that each part holds a window of L inputs and L targets. @throws ConfigError naming the part, its tokens and the largest context that fits. */
export function checkCorpusFits(corpus: CorpusSplit, context: number): void {
  for (const [part, tokens] of [['training', corpus.train], ['validation', corpus.valid]] as const) {
    if (tokens.length > context) continue;
    throw new ConfigError(`the ${part} part of the corpus has ${tokens.length} tokens; one window of context ${context} needs ${context + 1}`, {
      suggestions: ['use more text', ...(tokens.length > 1 ? [`--set train.context=${tokens.length - 1}`] : [])],
    });
  }
}
