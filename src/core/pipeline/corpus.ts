import type { CorpusSettings } from '../config/schema.js';
import { windowsOf } from '../corpus/batches.js';
import type { NgramBaselines } from '../corpus/ngram.js';
import { ngramBaselines } from '../corpus/ngram.js';
import type { Corpus, CorpusText } from '../corpus/tokens.js';
import { checkCorpusFits, readCorpus, tokenizeCorpus } from '../corpus/tokens.js';
import type { Tokenizer } from '../tokenizer/load.js';

/** A corpus as a run needs it: tokens, validation windows, and what context-free models reach on the same targets. */
export interface RunCorpus extends Corpus {
  /** Non-overlapping, each of L + 1 tokens. */ readonly windows: readonly Int32Array[];
  readonly baselines: NgramBaselines;
}

/** Tokenises a corpus and cuts its validation part. @throws ConfigError when a part is shorter than one window. */
export function prepareCorpus(text: CorpusText, tokenizer: Tokenizer, context: number): RunCorpus {
  const corpus = tokenizeCorpus(text, tokenizer);
  checkCorpusFits(corpus, context);
  const windows = windowsOf(corpus.valid, context);
  return { ...corpus, windows, baselines: ngramBaselines({ train: corpus.train, windows, vocabSize: tokenizer.vocabSize }) };
}

/** Reads a run's corpus and prepares it. */
export async function loadRunCorpus(settings: CorpusSettings, tokenizer: Tokenizer, context: number): Promise<RunCorpus> {
  return prepareCorpus(await readCorpus(settings), tokenizer, context);
}
