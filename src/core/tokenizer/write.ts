import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { writeTextAtomically } from '../hub/atomic-write.js';
import type { TokenizerJson } from './convert.js';

/** Writes `tokenizer.json` and the `tokenizer_config.json` other programs look for. @throws FormatError when the disk refuses. */
export async function writeTokenizer(folder: string, tokenizer: TokenizerJson, special: { bos: string | null; eos: string | null; pad: string | null } | null = null): Promise<void> {
  await mkdir(folder, { recursive: true });
  const first = firstSpecial(tokenizer);
  const tokens = special ?? { bos: first, eos: first, pad: null };
  await writeTextAtomically(join(folder, 'tokenizer.json'), `${JSON.stringify(tokenizer, null, 1)}\n`);
  const config = {
    tokenizer_class: 'PreTrainedTokenizerFast', clean_up_tokenization_spaces: false, model_max_length: 1e9,
    ...(tokens.bos === null ? {} : { bos_token: tokens.bos }), ...(tokens.eos === null ? {} : { eos_token: tokens.eos }),
    ...(tokens.pad === null ? {} : { pad_token: tokens.pad }),
  };
  await writeTextAtomically(join(folder, 'tokenizer_config.json'), `${JSON.stringify(config, null, 2)}\n`);
}

function firstSpecial(tokenizer: TokenizerJson): string | null {
  const added = tokenizer['added_tokens'] as readonly { content: string }[] | undefined;
  return added?.[0]?.content ?? null;
}
