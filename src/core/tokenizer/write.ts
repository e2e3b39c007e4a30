import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { explainWriteFailure, writeTextAtomically } from '../hub/atomic-write.js';
import type { TokenizerJson } from './tokenizer-json.js';
import { serializeTokenizer } from './tokenizer-json.js';

/** Tokens with a part to play; null: the model has none. */
export interface WrittenRoles {
  readonly bos: string | null;
  readonly eos: string | null;
  readonly pad: string | null;
}

/**
 * Writes `tokenizer.json` and the `tokenizer_config.json` that says which special token plays which part.
 * @param roles left out: the token that is put before a text, else the first special token, starts and ends a text.
 * @throws FormatError when the disk is full or refuses; nothing partial stays.
 */
export async function writeTokenizer(folder: string, json: TokenizerJson, roles: WrittenRoles | null = null): Promise<void> {
  await mkdir(folder, { recursive: true }).catch((cause: unknown) => { throw explainWriteFailure(folder, cause); });
  const { bos, eos, pad } = roles ?? rolesOf(json);
  const config = {
    tokenizer_class: 'PreTrainedTokenizerFast', add_bos_token: prefixOf(json) !== null, add_prefix_space: false, clean_up_tokenization_spaces: false,
    bos_token: bos, eos_token: eos, unk_token: eos, pad_token: pad,
  };
  await writeTextAtomically(join(folder, 'tokenizer.json'), serializeTokenizer(json));
  await writeTextAtomically(join(folder, 'tokenizer_config.json'), `${JSON.stringify(config, null, 2)}\n`);
}

function rolesOf(json: TokenizerJson): WrittenRoles {
  const special = json.added_tokens.filter((token) => token.special).map(({ content }) => content);
  const main = prefixOf(json) ?? special.find((token) => token !== PAD) ?? null;
  return { bos: main, eos: main, pad: special.includes(PAD) ? PAD : null };
}

const PAD = '<pad>';

/** The token that a template puts before a text. */
function prefixOf({ post_processor: processor }: TokenizerJson): string | null {
  const [first] = Array.isArray(processor?.['single']) ? (processor['single'] as readonly unknown[]) : [];
  const token = (first as { SpecialToken?: { id?: unknown } } | undefined)?.SpecialToken?.id;
  return typeof token === 'string' ? token : null;
}
