import { copyFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { FormatError } from '../errors.js';
import { explainWriteFailure } from '../hub/atomic-write.js';
import { COMPANION_FILES } from '../hub/local-snapshot.js';
import type { Tokenizer } from '../tokenizer/load.js';
import { loadTokenizer, readTokenizerJson } from '../tokenizer/load.js';
import { writeTokenizer } from '../tokenizer/write.js';
import type { Reporter } from '../types.js';
import type { OptConfig } from './config.js';

export interface TokenizerImport {
  readonly from: string;
  readonly to: string;
  readonly config: OptConfig;
}

/**
 * Gives a teacher folder its tokenizer: `tokenizer.json` copied, or made from `vocab.json` and `merges.txt`.
 * @returns the files it came from, or null where the source has none (told as a notice: such a model reads token ids only).
 * @throws FormatError when it is broken or has more tokens than the model.
 */
export async function importTokenizer(job: TokenizerImport, reporter: Reporter): Promise<string | null> {
  const present = await readdir(job.from);
  if (!['tokenizer.json', 'vocab.json', 'merges.txt'].some((name) => present.includes(name))) {
    reporter.notice(`${job.from} has no tokenizer: the teacher can be evaluated on token ids only`);
    return null;
  }
  const isReady = present.includes('tokenizer.json');
  for (const name of COMPANION_FILES) {
    if (name !== 'config.json' && present.includes(name)) await copyInto(job, name);
  }
  if (!isReady) await writeTokenizer(job.to, await readTokenizerJson(job.from));
  requireFit(await loadTokenizer(job.to), job, reporter);
  return isReady ? 'tokenizer.json' : 'vocab.json + merges.txt';
}

async function copyInto(job: TokenizerImport, name: string): Promise<void> {
  const target = join(job.to, name);
  await copyFile(join(job.from, name), target).catch((cause: unknown) => { throw explainWriteFailure(target, cause); });
}

function requireFit(tokenizer: Tokenizer, job: TokenizerImport, reporter: Reporter): void {
  const { config } = job;
  if (tokenizer.vocabSize > config.vocabSize) {
    throw new FormatError(`${job.from}: the tokenizer has ${tokenizer.vocabSize} tokens, config.json says vocab_size ${config.vocabSize}`, {
      suggestions: ['check that tokenizer and weights belong together'],
    });
  }
  for (const [name, own, configured] of [['bos', tokenizer.bosId, config.bosId], ['eos', tokenizer.eosId, config.eosId]] as const) {
    if (own !== null && configured !== null && own !== configured) reporter.notice(`${job.from}: the tokenizer's ${name} id is ${own}, config.json says ${configured}`);
  }
}
