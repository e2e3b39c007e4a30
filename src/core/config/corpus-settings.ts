import { z } from 'zod';

import { path, wholeNumber } from './fields.js';

const storiesSchema = z.strictObject({
  seed: wholeNumber(0).max(2 ** 32 - 1).default(1).describe('Seed of the story grammar. Used when kind is stories.'),
  count: wholeNumber(1).default(12_000).describe('Stories to write, validation included. Used when kind is stories.'),
});

/** Where the text comes from and how it is split. */
export const corpusSchema = z.strictObject({
  kind: z.enum(['text', 'stories']).default('text')
    .describe('text = the UTF-8 file(s) named below; stories = written by the built-in seeded grammar, whose true entropy is known.'),
  train: path().nullable().default(null).describe('UTF-8 text file to train on. Required when kind is text.'),
  valid: path().nullable().default(null).describe('UTF-8 text file to validate on; null = the last part of `train`.'),
  validFraction: z.number().gt(0).max(0.5).default(0.08)
    .describe('Share of `train`, taken from its end, that is held out when `valid` is null [fraction].'),
  maxBytes: wholeNumber(1).nullable().default(null).describe('Read at most this much of the start of `train`; null = all of it [bytes].'),
  stories: storiesSchema.prefault({}).describe('The built-in story corpus.'),
});

export type CorpusSettings = z.infer<typeof corpusSchema>;
