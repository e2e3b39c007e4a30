import { z } from 'zod';

import { PREPARATIONS } from './prepare.js';
import type { PreparationName } from './prepare.js';

/** How items become requests, and so what is measured. */
export const OUTPUT_TYPES = ['multiple_choice', 'multiple_context', 'loglikelihood', 'loglikelihood_rolling'] as const;
export type OutputType = (typeof OUTPUT_TYPES)[number];

export const METRICS = ['acc', 'acc_norm', 'acc_bytes', 'perplexity', 'word_perplexity', 'byte_perplexity', 'bits_per_byte'] as const;
export type MetricName = (typeof METRICS)[number];

/** What a template file may ask to be measured of each output type. */
export const METRICS_OF: Readonly<Record<OutputType, readonly MetricName[]>> = {
  multiple_choice: ['acc', 'acc_norm', 'acc_bytes'],
  multiple_context: ['acc'],
  loglikelihood: ['acc', 'perplexity'],
  loglikelihood_rolling: ['word_perplexity', 'byte_perplexity', 'bits_per_byte'],
};

const template = () => z.string();
const name = () => z.string().min(1);

const formSchema = z.strictObject({
  prepare: z.enum(Object.keys(PREPARATIONS) as [PreparationName, ...PreparationName[]]).optional().describe('A named change of the document before its templates are filled.'),
  context: template().optional().describe('Template of the text before the continuation (multiple_choice, loglikelihood).'),
  contexts: template().optional().describe('Template of a list of contexts, one a choice (multiple_context).'),
  choices: z.union([template(), z.array(template()).min(2)]).optional().describe('Template of a list of choices, or the choices themselves (multiple_choice).'),
  continuation: template().optional().describe('Template of the text that is scored (all types but multiple_choice).'),
  gold: template().optional().describe('Template of the right choice, counted from 0 (multiple_choice, multiple_context).'),
  counted: template().optional().describe('Template of the text whose words and bytes are counted (loglikelihood_rolling).'),
});

const datasetSchema = z.strictObject({
  path: name().describe('Dataset repository on the Hub, owner/name.'),
  name: name().default('default').describe('Configuration of the dataset.'),
  revision: name().default('main').describe('Branch, tag or commit.'),
});

/** One task: what `configs/tasks/*.yaml` and the files of --include-path hold. */
export const taskSchema = z.strictObject({
  task: z.string().regex(/^[\w.-]+$/).describe('Name of the task, as --tasks names it.'),
  version: z.number().int().min(1).describe('Raised whenever a change moves scores; results of different versions are not comparable.'),
  description: name().describe('What is measured, in a sentence.'),
  output_type: z.enum(OUTPUT_TYPES).describe('How items become requests.'),
  dataset: datasetSchema.nullable().default(null).describe('Where the Hub has the items; null = only local items.'),
  split: name().default('test').describe('The split that is scored.'),
  fewshot_split: name().nullable().default(null).describe('The split examples are drawn from; null = the scored one, without the item itself.'),
  local: z.array(name()).default([]).describe('Other names of this task\'s file or folder under --data-path.'),
  target_delimiter: z.string().default(' ').describe('Between context and choice.'),
  fewshot_delimiter: z.string().default('\n\n').describe('After each example.'),
  forms: z.array(formSchema).min(1).describe('The shapes items come in; the first one whose fields an item file has is used.'),
  metrics: z.array(z.strictObject({
    metric: z.enum(METRICS).describe('What is measured.'),
    higher_is_better: z.boolean().describe('Whether a higher value is better.'),
  })).min(1).describe('What is measured.'),
});
export type TaskSettings = z.infer<typeof taskSchema>;
export type TaskForm = TaskSettings['forms'][number];

/** The templates each output type needs, and may have. */
export const FORM_KEYS: Readonly<Record<OutputType, readonly (keyof TaskForm)[]>> = {
  multiple_choice: ['context', 'choices', 'gold'],
  multiple_context: ['contexts', 'continuation', 'gold'],
  loglikelihood: ['context', 'continuation'],
  loglikelihood_rolling: ['continuation', 'counted'],
};
