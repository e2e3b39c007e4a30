import { z } from 'zod';

import { corpusSchema } from './corpus-settings.js';
import { backendField, path, runField, seedField, wholeNumber } from './fields.js';
import { calibrationSchema, distillSchema, studentSchema } from './student-settings.js';
import { teacherCacheSchema } from './teacher-cache-settings.js';
import { trainSchema } from './train-settings.js';

export type { BackendName } from './fields.js';
export type { CorpusSettings } from './corpus-settings.js';
export type { CalibrationSettings, DistillSettings, PresetName, StudentSettings } from './student-settings.js';
export type { TrainSettings } from './train-settings.js';

/** One distillation run: what `bispik distill --config` reads. Defaults are those of the preset `practical`. */
export const distillConfigSchema = z.strictObject({
  run: runField,
  seed: seedField,
  backend: backendField,
  checkBinary: z.boolean().default(false).describe('Check in every forward pass that each matrix input is 0 or 1. Slower; always on in tests.'),
  teacher: path().describe('Teacher folder written by import-teacher or train-teacher; builtin:stories = the one that ships.'),
  corpus: corpusSchema.prefault({}).describe('The text.'),
  student: studentSchema.prefault({}).describe('The spiking model.'),
  calibration: calibrationSchema.prefault({}).describe('The data-dependent start.'),
  distill: distillSchema.prefault({}).describe('The losses.'),
  teacherCache: teacherCacheSchema.prefault({}).describe('Teacher outputs kept on disk.'),
  train: trainSchema(1e-2).prefault({}).describe('The optimiser and what is written when.'),
});
export type DistillConfig = z.infer<typeof distillConfigSchema>;

const tokenizerSchema = z.strictObject({
  folder: path().nullable().default(null).describe('Use the tokenizer of this model folder; null = train a byte-pair one on the corpus.'),
  vocabSize: wholeNumber(260).max(65_536).default(512).describe('V of the byte-pair tokenizer that is trained when folder is null [tokens].'),
});

const modelSchema = z.strictObject({
  hiddenSize: wholeNumber(1).default(64).describe('D: width of the residual stream [channels].'),
  layers: wholeNumber(1).default(3).describe('Blocks.'),
  heads: wholeNumber(1).default(2).describe('Attention heads; a divisor of hiddenSize.'),
  feedForwardSize: wholeNumber(1).default(256).describe('F: hidden units of a feed-forward sub-layer, customarily 4 x hiddenSize.'),
  contextLength: wholeNumber(2).default(64).describe('Longest sequence the teacher accepts [tokens].'),
});

/** One dense OPT-shaped teacher trained from scratch: what `bispik train-teacher --config` reads. */
export const teacherConfigSchema = z.strictObject({
  run: runField,
  seed: seedField,
  backend: backendField,
  corpus: corpusSchema.prefault({}).describe('The text.'),
  tokenizer: tokenizerSchema.prefault({}).describe('How text becomes tokens.'),
  model: modelSchema.prefault({}).describe('The size of the teacher.'),
  train: trainSchema(3e-3).prefault({}).describe('The optimiser and what is written when.'),
});
export type TeacherConfig = z.infer<typeof teacherConfigSchema>;
export type TokenizerSettings = TeacherConfig['tokenizer'];
export type TeacherModelSettings = TeacherConfig['model'];
