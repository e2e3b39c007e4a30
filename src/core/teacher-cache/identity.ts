import { createHash } from 'node:crypto';

import { ConfigError } from '../errors.js';

/** What decides the contents of a teacher cache; one that differs in any of these is another cache. */
export interface CacheIdentity {
  readonly teacherSha256: string;
  readonly tokenizerSha256: string;
  /** Of both parts of the text. */ readonly corpusSha256: string;
  /** L: windows begin at 0, L, 2L, … of the training tokens, and the teacher sees no more than the window. */ readonly context: number;
  /** τ of the distribution that is sampled. */ readonly temperature: number;
  /** N: ids per token. */ readonly samples: number;
}

/** What each part is called in a message, in the order of the file. */
const NAMES: Readonly<Record<keyof CacheIdentity, string>> = {
  teacherSha256: 'teacher', tokenizerSha256: 'tokenizer', corpusSha256: 'corpus',
  context: 'train.context', temperature: 'distill.temperature', samples: 'teacherCache.samples',
};

/** SHA-256 of an identity: ties the files of a cache together and gives a cache its default name. */
export function identityHash(identity: CacheIdentity): Buffer {
  const keys = Object.keys(NAMES) as (keyof CacheIdentity)[];
  return createHash('sha256').update(JSON.stringify(keys.map((key) => [key, identity[key]]))).digest();
}

/** @throws ConfigError naming everything in which the cache in `folder` is not the one that this run needs. */
export function requireSameCache(folder: string, found: CacheIdentity, wanted: CacheIdentity): void {
  const keys = (Object.keys(NAMES) as (keyof CacheIdentity)[]).filter((key) => found[key] !== wanted[key]);
  if (keys.length === 0) return;
  const short = (value: string | number): string => (typeof value === 'string' ? `${value.slice(0, 12)}…` : String(value));
  const list = keys.map((key) => `another ${NAMES[key]} (${short(found[key])}, this run has ${short(wanted[key])})`).join(' and ');
  throw new ConfigError(`the teacher cache ${folder} belongs to ${list}`, {
    suggestions: ['--set teacherCache.folder=null takes or builds the cache that belongs to this run', '--set teacherCache.folder=DIR builds one in another folder'],
  });
}
