import { dirname, join } from 'node:path';

import * as tf from '@tensorflow/tfjs-core';

import type { DistillConfig } from '../config/schema.js';
import type { Batches } from '../corpus/batches.js';
import type { TeacherSource } from '../distill/teacher-source.js';
import { cachedSource, liveSource } from '../distill/teacher-source.js';
import { ConfigError } from '../errors.js';
import type { TeacherCache } from '../teacher-cache/cache.js';
import { beginCache, openCache, readCacheHeader } from '../teacher-cache/cache.js';
import { fillCache } from '../teacher-cache/fill.js';
import type { CacheIdentity } from '../teacher-cache/identity.js';
import { identityHash } from '../teacher-cache/identity.js';
import { MAX_CACHED_VOCABULARY } from '../teacher-cache/record.js';
import type { OptConfig } from '../teacher/config.js';
import { EMBEDDING_PARAMETERS } from '../teacher/forward.js';
import type { Teacher } from '../teacher/parameters.js';
import { uploadTeacher } from '../teacher/parameters.js';
import { teacherNll } from '../teacher/training-task.js';
import type { TeacherWeights } from '../teacher/weights.js';
import type { RunContext } from '../types.js';
import type { RunCorpus } from './corpus.js';
import { distillationBatches } from './distillation.js';
import type { RunProvenance } from './run-folder.js';

/** A teacher as a distillation uses it, whether it runs in every step or its outputs were stored before. */
export interface RunTeacher {
  readonly config: OptConfig;
  readonly source: TeacherSource;
  /** What a report says of the cache; null where the teacher runs. */ readonly cache: CacheReport | null;
  /** Batches with what `source` needs of them. */ batches(stream: Batches): Batches;
  /** Lets `work` have the whole teacher on the backend, for as long as it takes. */ lend<Result>(work: (teacher: Teacher) => Promise<Result>): Promise<Result>;
  /** Loss on the validation windows, nats per token. */ nll(): Promise<number>;
  dispose(): void;
}

/** The teacher cache of a run, for its report. */
export interface CacheReport {
  readonly folder: string;
  /** Training tokens whose targets it holds. */ readonly tokens: number;
  /** Of those, how many the teacher was run on by this command. */ readonly computedTokens: number;
  readonly bytesPerToken: number;
}

/** The teacher on the backend from beginning to end. */
export function liveRunTeacher(teacher: Teacher, validWindows: readonly Int32Array[]): RunTeacher {
  return {
    config: teacher.config, source: liveSource(teacher), cache: null,
    batches: (stream) => stream,
    lend: (work) => work(teacher),
    nll: () => teacherNll(teacher, validWindows),
    dispose: () => tf.dispose([...teacher.parameters.values()]),
  };
}

/** The teacher of a training thread, which gets every batch with what a cache holds of it: no more than the losses read. */
export function threadTeacher(config: DistillConfig, weights: TeacherWeights): Pick<RunTeacher, 'config' | 'source' | 'lend'> {
  if (!config.teacherCache.enabled) return liveRunTeacher(uploadTeacher(weights), []);
  return { config: weights.config, source: cachedSource(embeddingTables(config, weights)), lend: lender(weights) };
}

/** The part of the teacher that the loss on embeddings reads; null where it is off. */
function embeddingTables(config: DistillConfig, weights: TeacherWeights): Teacher | null {
  return config.distill.weights.embedding > 0 ? uploadTeacher(weights, (name) => EMBEDDING_PARAMETERS.has(name)) : null;
}

/** Uploads the teacher for the time that somebody works with it. */
function lender(weights: TeacherWeights): RunTeacher['lend'] {
  return async (work) => {
    const teacher = uploadTeacher(weights);
    try {
      return await work(teacher);
    } finally {
      tf.dispose([...teacher.parameters.values()]);
    }
  };
}

/** What a run's teacher is made from. */
export interface RunTeacherParts {
  readonly config: DistillConfig;
  readonly weights: TeacherWeights;
  readonly tokenizerSha256: string;
  readonly corpus: RunCorpus;
  readonly provenance: RunProvenance;
}

/** The teacher that a configuration asks for. @throws what `cachedRunTeacher` throws. */
export async function openRunTeacher(parts: RunTeacherParts, ctx: RunContext): Promise<RunTeacher> {
  const { config, weights, corpus } = parts;
  return config.teacherCache.enabled ? cachedRunTeacher(parts, ctx) : liveRunTeacher(uploadTeacher(weights), corpus.windows);
}

/**
 * A teacher whose targets come from a cache. Windows that the run needs and the cache lacks are added first, by a teacher that is then freed.
 * @throws ConfigError when the cache is another run's, or the vocabulary is too large; FormatError when it is damaged; Interrupted, NumericError as `fillCache`.
 */
async function cachedRunTeacher(parts: RunTeacherParts, ctx: RunContext): Promise<RunTeacher> {
  const { config, weights } = parts;
  const lend = lender(weights);
  const { cache, computedTokens } = await completeCache(parts, lend, ctx);
  ctx.reporter.notice(describeLosses(config, cache));
  const { context } = config.train;
  const embedding = embeddingTables(config, weights);
  return {
    config: weights.config, source: cachedSource(embedding), lend,
    cache: { folder: cache.folder, tokens: cache.windows * context, computedTokens, bytesPerToken: cache.sizeBytes / (cache.windows * context) },
    batches: (stream) => ({
      ...stream,
      next: () => {
        const batch = stream.next();
        return { ...batch, sampled: cache.read(batch.starts) };
      },
    }),
    nll: () => Promise.resolve(cache.header.teacherNll),
    dispose: () => {
      cache.close();
      tf.dispose([...(embedding?.parameters.values() ?? [])]);
    },
  };
}

/** Which losses a run with a cache has, in words. */
function describeLosses({ distill: { weights } }: DistillConfig, { folder }: TeacherCache): string {
  const named = (keys: readonly (keyof typeof weights)[]): string => keys.filter((key) => weights[key] > 0).map((key) => `distill.weights.${key}`).join(', ');
  const off = named(['attention', 'feature']);
  return `Training from the teacher cache ${folder}; losses: ${named(['embedding', 'softTarget', 'hardTarget'])}`
    + (off === '' ? '' : `; off, because the cache holds no attention maps and residual streams: ${off}`);
}

type Lend = RunTeacher['lend'];

/** Opens the run's cache, after adding what it lacks. */
async function completeCache(parts: RunTeacherParts, lend: Lend, ctx: RunContext): Promise<{ cache: TeacherCache; computedTokens: number }> {
  const { config, weights: { config: { vocabSize } }, corpus } = parts;
  if (vocabSize > MAX_CACHED_VOCABULARY) {
    throw new ConfigError(`the teacher has ${vocabSize} tokens; a teacher cache holds vocabularies of up to ${MAX_CACHED_VOCABULARY}`, { suggestions: ['--set teacherCache.enabled=false'] });
  }
  const identity = identityOf(parts);
  const folder = config.teacherCache.folder ?? join(dirname(config.run), '.bispik', `teacher-${identityHash(identity).toString('hex').slice(0, 12)}`);
  const needed = neededStarts(corpus.train, config);
  const header = await readCacheHeader(folder, identity);
  const found = header === null ? null : await openCache(folder, header);
  const missing = needed.filter((start) => found?.has(start) !== true);
  if (found !== null && missing.length === 0) return { cache: found, computedTokens: 0 };
  found?.close();
  ctx.reporter.notice(`Teacher cache ${folder}: running the teacher on ${missing.length} of the ${needed.length} windows this run trains on`);
  const complete = await lend(async (teacher) => {
    const made = header ?? { identity, vocabSize, teacherNll: await teacherNll(teacher, corpus.windows), made: { ...parts.provenance } };
    if (header === null) await beginCache(folder, made);
    await fillCache({ folder, identity, teacher, tokens: corpus.train, starts: missing }, ctx);
    return made;
  });
  return { cache: await openCache(folder, complete), computedTokens: missing.length * identity.context };
}

function identityOf({ config, weights, tokenizerSha256, corpus }: RunTeacherParts): CacheIdentity {
  return {
    teacherSha256: weights.sha256, tokenizerSha256, corpusSha256: corpus.sha256,
    context: config.train.context, temperature: config.distill.temperature, samples: config.teacherCache.samples,
  };
}

/** Where the windows begin that a run trains on, in ascending order: fewer than the text has when the run ends before its first pass does. */
function neededStarts(trainTokens: Int32Array, config: DistillConfig): number[] {
  const batches = distillationBatches(trainTokens, config);
  const starts = new Set<number>();
  for (let left = config.train.steps * config.train.accumulate; left > 0 && starts.size < batches.windowsPerEpoch; left--) {
    for (const start of batches.next().starts) starts.add(start);
  }
  return [...starts].sort((a, b) => a - b);
}
