import { z } from 'zod';

const text = z.string().min(1);
const count = z.number().int().nonnegative();
const ratio = z.number().nonnegative();
const rate = z.number().min(0).max(1);
const loss = z.looseObject({ nll: z.number().nonnegative() });
const lossAndPerplexity = loss.extend({ perplexity: z.number().min(1) });

const student = lossAndPerplexity.extend({
  firingRate: rate,
  sites: z.array(z.looseObject({ layer: count, site: text, firingRate: rate })).min(1),
  ops: z.looseObject({ acs: count, macs: count, popcounts: count }),
  energy: z.looseObject({ pjPerToken: z.number().positive(), ratioBlocks: ratio, ratioWithHead: ratio }),
});
const value = z.looseObject({ value: z.number(), stderr: z.number().nonnegative().nullable() });
const interval = z.looseObject({ low: z.number().nullable(), high: z.number().nullable() });
const outcomes = z.record(text, z.looseObject({ values: z.array(z.number()).min(1), weights: z.array(z.number()).nullable() }));
const task = z.looseObject({
  task: text, version: count, taskHash: z.string().regex(/^[0-9a-f]{64}$/), outputType: text, split: text, shots: count,
  source: z.looseObject({ files: z.array(text).min(1), split: z.string().nullable(), dataset: z.looseObject({ path: text, commit: text }).nullable() }),
  items: z.looseObject({ original: count, effective: count, scored: count }), isPartial: z.boolean(), truncatedItems: count, overlongItems: count,
  unigram: z.looseObject({ counts: z.enum(['training', 'benchmark']), tokens: count }),
  metrics: z.record(text, z.looseObject({
    higherIsBetter: z.boolean(), chance: z.number(), unigram: value, student: value.optional(), teacher: value.optional(),
    skill: z.looseObject({
      retained: z.number().nullable(), retainedInterval: interval.nullable(), teacherAboveChance: z.number(), teacherInterval: interval,
      studentAboveChance: z.number(), studentInterval: interval, teacherAboveUnigram: z.number(), unigramInterval: interval, verdict: text, resamples: count, seed: count,
    }).optional(),
  })),
  outcomes: z.looseObject({ student: outcomes.optional(), teacher: outcomes.optional(), chance: outcomes, unigram: outcomes }),
});
const nGrams = { unigram: loss, bigram: loss };

/**
 * What `--json` promises to scripts, at least; more keys may come, these keep their meaning. Losses are nats per token,
 * energies picojoules per token, rates 0 to 1, ratios plain numbers, times milliseconds, sizes bytes.
 */
export const RESULT_SCHEMAS = {
  'import-teacher': z.looseObject({
    path: text, family: text, parameters: count, vocabSize: count, dtype: text,
    provenance: z.looseObject({
      source: text, commit: z.string().nullable(),
      files: z.array(z.looseObject({ name: text, sizeBytes: count, sha256: z.string().regex(/^[0-9a-f]{64}$/) })).min(1),
    }),
  }),
  'train-teacher': z.looseObject({ path: text, steps: count, tokens: count, valid: lossAndPerplexity, threads: count }),
  distill: z.looseObject({
    run: text, student: text, steps: count, tokens: count, skippedSteps: count, valid: lossAndPerplexity, teacher: loss, ...nGrams,
    firingRate: rate, backend: text, threads: count, elapsedMs: z.number().nonnegative(),
    teacherCache: z.looseObject({ folder: text, tokens: count, computedTokens: count, bytesPerToken: z.number().positive() }).nullable(),
  }),
  'eval of a student': z.looseObject({ tokens: count, student, teacher: lossAndPerplexity.nullable(), ...nGrams }),
  'eval of a teacher': z.looseObject({ tokens: count, student: z.undefined().optional(), teacher: lossAndPerplexity, ...nGrams }),
  'eval on tasks': z.looseObject({
    tasks: z.looseObject({ isPartial: z.boolean(), contextLength: count, results: z.record(text, task), files: z.array(text), elapsedMs: z.number().nonnegative() }),
  }),
  generate: z.looseObject({
    text: z.string(), tokens: count, finishReason: z.enum(['stop', 'eos', 'length', 'context']), seed: count,
    tokensPerSecond: z.number().nonnegative(), acsPerToken: z.number().nonnegative().nullable(),
  }),
  serve: z.looseObject({ url: text, model: text, requests: count, failed: count, promptTokens: count, newTokens: count, elapsedMs: z.number().nonnegative() }),
  doctor: z.looseObject({
    backends: z.array(z.looseObject({ name: text, available: z.boolean(), device: z.string().nullable(), reason: z.string().nullable() })).min(1),
    node: text, platform: text,
  }),
  error: z.strictObject({
    error: z.strictObject({
      name: text, code: text, exit: z.number().int().min(1).max(130), message: text, suggestions: z.array(text),
      status: count.nullable().optional(), url: text.optional(),
    }),
  }),
} as const;
